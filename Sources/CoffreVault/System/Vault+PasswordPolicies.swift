internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension BarrierKey {
    static let passwordPolicies = Array("password".utf8)

    static func passwordPolicy(_ name: String) -> BarrierKey {
        BarrierKey(namespace: .policy, parent: passwordPolicies, name: Array(name.utf8))
    }
}

extension Vault {
    /// A new password after the policy with this name, for engines that make logins.
    /// - Throws: ``VaultError`` `.badRequest` when there is no such policy.
    func generatePassword(policy name: String) throws -> SharedSecret {
        guard isName(name), let policy = try passwordPolicy(name) else {
            throw VaultError.badRequest("there is no password policy \"\(name)\"")
        }
        return policy.generate()
    }

    /// `sys/policies/password/<name>` and `…/<name>/generate`.
    func passwordPolicyEndpoint(_ context: RequestContext, _ rest: String) -> Endpoint? {
        var what = AuditWhat()
        what.path = "sys/" + rest
        if rest == "policies/password" {
            guard context.verb == .list else { return .unsupported(what, .list) }
            return .read(.policyRead, what, .capability(.list)) { vault, _ in
                let names = try vault.barrier.names(in: .policy, parent: BarrierKey.passwordPolicies)
                guard !names.isEmpty else { throw VaultError.notFound }
                return Effect(.data(["keys": .strings(names.map { String(decoding: $0, as: UTF8.self) })]))
            }
        }
        var name = String(rest.dropFirst("policies/password/".utf8.count))
        let generates = name.hasSuffix("/generate")
        if generates { name = String(name.dropLast("/generate".utf8.count)) }
        guard isName(name) else { return nil }
        let policyName = name
        switch (context.verb, generates) {
        case (.get, true):
            return .read(.policyRead, what, .capability(.read)) { vault, _ in
                guard let policy = try vault.passwordPolicy(policyName) else { throw Self.noSuchPolicy }
                var body = ResponseBody()
                body.append(text: #"{"password":"#)
                body.append(policy.generate().asJSONText)
                body.append(text: "}")
                return Effect(.data(body))
            }
        case (.get, false):
            return .read(.policyRead, what, .capability(.read)) { vault, _ in
                guard let policy = try vault.passwordPolicy(policyName) else { throw Self.noSuchPolicy }
                return Effect(.data(["policy": .string(policy.text)]))
            }
        case (.write, false):
            return .change(.policyChange, what, .capability(.update)) { vault, context in
                try await vault.putPasswordPolicy(policyName, context)
            }
        case (.delete, false):
            return .change(.policyChange, what, .capability(.delete)) { vault, _ in
                let generation = try await vault.commit([.delete(.passwordPolicy(policyName), expect: .any)])
                return Effect(.noContent, generation: generation)
            }
        default: return .unsupported(what)
        }
    }

    private static let noSuchPolicy = VaultError(.notFound, "policy does not exist")

    private func passwordPolicy(_ name: String) throws -> PasswordPolicy? {
        guard let row = try barrier.get(.passwordPolicy(name)) else { return nil }
        let text = row.value.withBytes { String(decoding: $0, as: UTF8.self) }
        do {
            return try PasswordPolicy(text: text)
        } catch {
            throw VaultError(.storageCorrupt, "the password policy \"\(name)\" cannot be read", cause: error)
        }
    }

    private func putPasswordPolicy(_ name: String, _ context: RequestContext) async throws -> Effect {
        let text = try withBody(context) { body -> String in
            guard let text = body?["policy"]?.string, !text.isEmpty else {
                throw VaultError.badRequest("missing policy")
            }
            return Self.decodedPolicy(text)
        }
        do {
            _ = try PasswordPolicy(text: text)
        } catch {
            throw VaultError.badRequest("invalid password policy: \(error.message)")
        }
        let stored = SharedSecret(copying: Array(text.utf8))
        return Effect(.noContent, generation: try await commit([.put(.passwordPolicy(name), stored, expect: .any)]))
    }

    /// A text in base64 is accepted, as clients may send one.
    static func decodedPolicy(_ text: String) -> String {
        guard !text.utf8.contains(0x7b), let decoded = Base64.decode(Array(text.utf8)),
            let plain = String(validating: decoded, as: UTF8.self)
        else { return text }
        return plain
    }
}
