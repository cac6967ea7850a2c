internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// `sys/generate-root[-token]/attempt|update`: a root token by the holders of enough shares, for operators.
extension Vault {
    /// Length of a token, and so of the password that hides it.
    private static let tokenBytes = 26

    func generateRootEndpoint(_ context: RequestContext) -> Endpoint? {
        let path = context.pathText
        guard path.hasPrefix("sys/generate-root") else { return nil }
        let what = AuditWhat(path: path)
        let isAttempt = path == "sys/generate-root/attempt" || path == "sys/generate-root-token/attempt"
        let isUpdate = path == "sys/generate-root/update" || path == "sys/generate-root-token/update"
        guard isAttempt || isUpdate else { return nil }
        switch context.verb {
        case .get where isAttempt:
            return .read(.sysRead, what, .anyone) { vault, _ in
                try vault.checkOpen()
                return Effect(.doubled(vault.describeRoot()))
            }
        case .write where isAttempt:
            return .change(.tokenChange, what, .anyone) { vault, context in
                try vault.checkOpen()
                return try vault.beginRoot(context)
            }
        case .delete where isAttempt:
            return .change(.tokenChange, what, .anyone) { vault, _ in
                try vault.checkOpen()
                vault.rootAttempt = nil
                return Effect(.noContent)
            }
        case .write:
            return .change(.tokenIssue, what, .anyone) { vault, context in
                try vault.checkOpen()
                return try await vault.continueRoot(context)
            }
        default:
            return .read(.requestUnmatched, what, .anyone) { _, _ in throw VaultError.unsupportedOperation }
        }
    }

    private func checkOpen() throws {
        guard unsealed != nil else { throw VaultError.sealed }
        if let reason = holdReason { throw VaultError(.restored, reason) }
    }

    private func describeRoot() -> [JSONValue.Member] {
        [
            .init("complete", .bool(false)), .init("encoded_token", ""), .init("encoded_root_token", ""),
            .init("nonce", .string(rootAttempt?.nonce ?? "")), .init("otp", ""),
            .init("otp_length", .integer(Self.tokenBytes)), .init("pgp_fingerprint", ""),
            .init("progress", .integer(rootAttempt?.progress.count ?? 0)),
            .init("required", .integer(sealStore.status?.threshold ?? 0)), .init("started", .bool(rootAttempt != nil)),
        ]
    }

    private func beginRoot(_ context: RequestContext) throws -> Effect {
        guard rootAttempt == nil else { throw VaultError.badRequest("root generation already in progress") }
        let given: SharedSecret? = try withBody(context) { body in
            if let key = body?["pgp_key"]?.string, !key.isEmpty {
                throw VaultError.badRequest("pgp_key is not available: use the one-time password")
            }
            guard let field = body?["otp"], let count = field.stringCount, count > 0 else { return nil }
            let isPlain = field.raw.count == count + 2 && field.raw.allSatisfy { (0x20...0x7e).contains($0) }
            guard count == Self.tokenBytes, isPlain else {
                throw VaultError.badRequest("otp has \(Self.tokenBytes) visible ASCII characters")
            }
            return SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) })
        }
        let password = given ?? Random.secretBase62(Self.tokenBytes)
        let attempt = RootAttempt(
            oneTimePassword: password,
            progress: UnsealProgress(threshold: sealStore.status?.threshold ?? 1)
        )
        rootAttempt = attempt
        // The password is shown to who began, and never again.
        let members = describeRoot().filter { $0.key != "otp" }
        var body = ResponseBody(Array(JSONValue.object(members).encoded().dropLast()))
        body.append(text: #","otp":"#)
        if given == nil { body.append(quotedSecret: password) } else { body.append(text: #""""#) }
        body.append(text: "}")
        return Effect(.doubledBody(body))
    }

    private func continueRoot(_ context: RequestContext) async throws -> Effect {
        let (share, nonce) = try shareAndNonce(context)
        guard var attempt = rootAttempt else { throw VaultError.badRequest("no root generation in progress") }
        guard nonce.utf8.elementsEqual(attempt.nonce.utf8) else {
            throw VaultError.badRequest(
                "incorrect nonce supplied; nonce for this root generation operation is \"\(attempt.nonce)\""
            )
        }
        switch attempt.progress.submit(share) {
        case .invalid(let reason): throw VaultError.badRequest(reason)
        case .progress:
            rootAttempt = attempt
            return Effect(.doubled(describeRoot()))
        case .complete(let key):
            rootAttempt = nil
            guard let record = sealStore.status, sealStore.accepts(combined: key, record) else {
                throw VaultError.badRequest("these shares are not those of this vault: begin again")
            }
            return try await issueRoot(attempt, context)
        }
    }

    private func issueRoot(_ attempt: RootAttempt, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let token = Random.secretBase62(24, prefix: "s.")
        let entry = TokenEntry.root(hash: token.withBytes { state.tokenKey.authenticate($0) }, created: context.now)
        let generation = try await commit(storing(entry))
        let hidden = token.withBytes { token in
            attempt.oneTimePassword.withBytes { password in
                SecretBytes(count: token.count) { target in
                    for index in target.indices { target[index] = token[index] ^ password[index] }
                }
            }
        }
        // Clients decode base64 without padding.
        let encoded = Base64.encodeSecret(hidden).withBytes { text in
            SharedSecret(copying: UnsafeRawBufferPointer(rebasing: text[..<(text.firstIndex(of: 0x3d) ?? text.count)]))
        }
        var body = ResponseBody()
        body.append(text: #"{"complete":true,"encoded_token":"#)
        body.append(quotedSecret: encoded)
        body.append(text: #","encoded_root_token":"#)
        body.append(quotedSecret: encoded)
        let required = sealStore.status?.threshold ?? 0
        let rest: JSONValue = [
            "nonce": .string(attempt.nonce), "otp": "", "otp_length": .integer(Self.tokenBytes), "pgp_fingerprint": "",
            "progress": .integer(required), "required": .integer(required), "started": .bool(true),
        ]
        body.append([0x2c] + Array(rest.encoded().dropFirst()))
        var what = AuditWhat(path: context.pathText)
        what.details = [("accessor", .text(entry.accessor)), ("policies", .text("root"))]
        return Effect(.doubledBody(body), generation: generation, what: what)
    }
}
