internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension BarrierKey {
    static func policy(_ name: String) -> BarrierKey {
        BarrierKey(namespace: .policy, parent: [], name: Array(name.utf8))
    }
}

extension Vault {
    /// `sys/policies/acl` and the older `sys/policy`.
    func policyEndpoint(_ context: RequestContext, _ rest: String, _ state: UnsealedState) -> Endpoint? {
        let isLegacy = !rest.hasPrefix("policies/acl")
        let base = isLegacy ? "policy" : "policies/acl"
        var what = AuditWhat()
        what.path = "sys/" + rest
        if rest == base {
            guard context.verb == .list || context.verb == .get else { return .unsupported(what, .list) }
            return .read(.policyRead, what, .capability(context.verb == .list ? .list : .read)) { vault, _ in
                let names = (vault.unsealed?.policies.keys.map { $0 } ?? []) + ["root"]
                let list = JSONValue.strings(names.sorted())
                guard isLegacy else { return Effect(.data(["keys": list])) }
                return Effect(.doubled([.init("keys", list), .init("policies", list)]))
            }
        }
        guard rest.hasPrefix(base + "/") else { return nil }
        let given = String(rest.dropFirst(base.utf8.count + 1))
        let name = given.lowercased()
        guard isName(name) else { return nil }
        switch context.verb {
        case .get:
            return .read(.policyRead, what, .capability(.read)) { vault, _ in
                let text: String
                if name == "root" {
                    text = ""
                } else if let policy = vault.unsealed?.policies[name] {
                    text = policy.text
                } else {
                    throw VaultError.notFound
                }
                guard isLegacy else { return Effect(.data(["name": .string(name), "policy": .string(text)])) }
                return Effect(.doubled([.init("name", .string(name)), .init("rules", .string(text))]))
            }
        case .write:
            return .change(.policyChange, what, .capability(.update)) { vault, context in
                var effect = try await vault.putPolicy(name, context)
                if given != name {
                    effect.reply.warnings.append("policy name was converted to \"\(name)\": names are lower-case")
                }
                return effect
            }
        case .delete:
            return .change(.policyChange, what, .capability(.delete)) { vault, context in
                guard name != "root", name != "default" else {
                    throw VaultError.badRequest("cannot delete \"\(name)\" policy")
                }
                guard let state = vault.unsealed else { throw VaultError.sealed }
                return try await state.locks.withLock(Array("policy/\(name)".utf8)) {
                    let old = state.policies[name].map { vault.historyChanges(removing: $0, context.now) } ?? []
                    let generation = try await vault.commit([.delete(.policy(name), expect: .any)] + old)
                    state.policies[name] = nil
                    state.forgetCallers()
                    return Effect(.noContent, generation: generation)
                }
            }
        default: return .unsupported(what)
        }
    }

    private func putPolicy(_ name: String, _ context: RequestContext) async throws -> Effect {
        guard name != "root", name != "response-wrapping" else {
            throw VaultError.badRequest("cannot update \"\(name)\" policy")
        }
        let text = try withBody(context) { body in
            guard let text = (body?["policy"] ?? body?["rules"])?.string, !text.isEmpty else {
                throw VaultError.badRequest("'policy' parameter not supplied or empty")
            }
            return Self.decodedPolicy(text)
        }
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("policy/\(name)".utf8)) {
            // A name that comes back goes on counting: a version is one text for ever.
            let old = state.policies[name]
            let last = max(old?.version ?? 0, state.policyHistory.newest[name] ?? 0)
            let policy = try parsePolicy(name, text, version: last + 1)
            let generation = try await commit(
                [.put(.policy(name), encodePolicy(policy), expect: .any)]
                    + historyChanges(policy, replacing: old, context.now)
            )
            state.policies[name] = policy
            state.policyHistory.newest[name] = policy.version
            state.forgetCallers()
            var what = AuditWhat()
            what.path = "sys/policies/acl/" + name
            what.version = Int(policy.version)
            if let own = context.caller?.policies, own.contains(name), !own.contains("root"), name != "default" {
                what.details.append(("own", .flag(true)))
            }
            var reply = Reply.noContent
            let linter = PolicyLinter(
                kvMounts: state.mounts.mounts.filter(\.isVersioned).map(\.path),
                now: context.now.seconds
            )
            reply.warnings = linter.warnings(about: policy).map(\.text)
            return Effect(reply, generation: generation, what: what)
        }
    }

    func parsePolicy(_ name: String, _ text: String, version: UInt64) throws(VaultError) -> Policy {
        do {
            return try Policy(name: name, text: text, version: version)
        } catch {
            throw .badRequest("failed to parse policy: \(error.message)")
        }
    }

    func encodePolicy(_ policy: Policy) -> SharedSecret {
        let value: JSONValue = ["version": .integer(policy.version), "text": .string(policy.text)]
        return SharedSecret(copying: value.encoded())
    }

    /// All stored policies, read when the vault opens.
    func loadPolicies() throws -> [String: Policy] {
        var policies: [String: Policy] = [:]
        for (name, entry) in try barrier.entries(in: .policy, parent: [], limit: 100_000) {
            let name = String(decoding: name, as: UTF8.self)
            let value = try entry.value.withBytes { bytes throws(JSONError) in JSONValue(try JSONView(bytes)) }
            guard let text = value["text"]?.string, let version = value["version"]?.integer else {
                throw VaultError(.storageCorrupt, "a stored policy cannot be read")
            }
            policies[name] = try parsePolicy(name, text, version: UInt64(clamping: version))
        }
        return policies
    }
}
