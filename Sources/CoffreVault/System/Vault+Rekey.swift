internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// New shares: `sys/rotate/root|recovery/init|update|verify`, and the older `sys/rekey[-recovery-key]/…`. For operators,
/// by the uid of their process.
extension Vault {
    func rekeyEndpoint(_ context: RequestContext) -> Endpoint? {
        let path = context.pathText
        let prefixes = [
            ("sys/rotate/root/", false), ("sys/rotate/recovery/", true), ("sys/rekey/", false),
            ("sys/rekey-recovery-key/", true),
        ]
        guard let (prefix, isRecovery) = prefixes.first(where: { path.hasPrefix($0.0) }) else { return nil }
        let what = AuditWhat(path: path)
        switch (path.dropFirst(prefix.count), context.verb) {
        case ("init", .get):
            return .read(.sysRead, what, .anyone) { vault, _ in
                try vault.checkRekey(isRecovery)
                return Effect(.doubled(vault.describeRekey()))
            }
        case ("init", .write):
            return .change(.rekey, what, .anyone) { vault, context in
                try vault.checkRekey(isRecovery)
                return try vault.beginRekey(context)
            }
        case ("init", .delete):
            return .change(.rekey, what, .anyone) { vault, _ in
                try vault.checkRekey(isRecovery)
                vault.rekey = nil
                return Effect(.noContent)
            }
        case ("update", .write):
            return .change(.rekey, what, .anyone) { vault, context in
                try vault.checkRekey(isRecovery)
                return try await vault.continueRekey(context)
            }
        case ("verify", .get):
            return .read(.sysRead, what, .anyone) { vault, _ in
                try vault.checkRekey(isRecovery)
                return Effect(.doubled(try vault.describeVerification()))
            }
        case ("verify", .write):
            return .change(.rekey, what, .anyone) { vault, context in
                try vault.checkRekey(isRecovery)
                return try await vault.verifyRekey(context)
            }
        case ("verify", .delete):
            return .change(.rekey, what, .anyone) { vault, _ in
                try vault.checkRekey(isRecovery)
                vault.rekey?.verification = nil
                vault.rekey?.pending = nil
                vault.rekey = nil
                return Effect(.noContent)
            }
        case ("init", _), ("update", _), ("verify", _):
            return .read(.requestUnmatched, what, .anyone) { _, _ in throw VaultError.unsupportedOperation }
        default: return nil
        }
    }

    private func checkRekey(_ isRecovery: Bool) throws {
        guard unsealed != nil else { throw VaultError.sealed }
        if let reason = holdReason { throw VaultError(.restored, reason) }
        let hasRecovery = sealStore.status?.type == .credential
        guard hasRecovery == isRecovery else {
            throw VaultError.badRequest(
                hasRecovery
                    ? "this vault opens by a credential: renew its recovery shares with sys/rotate/recovery"
                    : "this vault has no recovery shares: renew its unseal shares with sys/rotate/root"
            )
        }
    }

    private func describeRekey() -> [JSONValue.Member] {
        let required = sealStore.status?.threshold ?? 0
        guard let rekey else {
            return [
                .init("n", .integer(0)), .init("required", .integer(required)), .init("started", .bool(false)),
                .init("t", .integer(0)), .init("nonce", ""), .init("progress", .integer(0)),
                .init("backup", .bool(false)), .init("pgp_fingerprints", .null),
                .init("verification_required", .bool(false)), .init("verification_nonce", ""),
            ]
        }
        return [
            .init("n", .integer(rekey.shares)), .init("nonce", .string(rekey.nonce)),
            .init("progress", .integer(rekey.progress.count)), .init("required", .integer(required)),
            .init("started", .bool(true)), .init("t", .integer(rekey.threshold)),
            .init("backup", .bool(false)), .init("pgp_fingerprints", .null),
            .init("verification_nonce", .string(rekey.verificationNonce)),
            .init("verification_required", .bool(rekey.requiresVerification)),
        ]
    }

    private func beginRekey(_ context: RequestContext) throws -> Effect {
        guard rekey == nil else { throw VaultError.badRequest("rotation already in progress") }
        let (shares, threshold, verifies) = try withBody(context) { body in
            for field in ["pgp_keys", "backup"] {
                guard let value = body?[field] else { continue }
                guard value.isArray && value.elements.isEmpty || value.weakBool == false || value.string == "" else {
                    throw VaultError.badRequest(
                        "\(field) is not available: keys are shown once, in clear, to the operator"
                    )
                }
            }
            return (
                body?["secret_shares"]?.weakInteger ?? 5, body?["secret_threshold"]?.weakInteger ?? 3,
                body?["require_verification"]?.weakBool ?? false
            )
        }
        guard (1...255).contains(shares), (1...shares).contains(threshold), threshold > 1 || shares == 1 else {
            throw VaultError.badRequest("shares are 1 to 255, the threshold 2 to shares (or 1 of 1)")
        }
        rekey = RekeyAttempt(
            shares: Int(shares),
            threshold: Int(threshold),
            requiresVerification: verifies,
            present: sealStore.status?.threshold ?? 1
        )
        return Effect(.doubled(describeRekey()))
    }

    /// A share and the nonce of the attempt that it is meant for.
    func shareAndNonce(_ context: RequestContext) throws -> (share: SharedSecret, nonce: String) {
        try withBody(context) { body in
            guard let key = body?["key"], let count = key.stringCount, (2...4096).contains(count) else {
                throw VaultError.badRequest("'key' must be specified in request body as JSON")
            }
            let text = SharedSecret(SecretBytes(count: count) { key.decodeString(into: $0) })
            return (try Self.decodeShare(text), body?["nonce"]?.string ?? "")
        }
    }

    private func continueRekey(_ context: RequestContext) async throws -> Effect {
        let (share, nonce) = try shareAndNonce(context)
        guard var attempt = rekey else { throw VaultError.badRequest("no rotation in progress") }
        guard attempt.pending == nil else {
            throw VaultError.badRequest("the new shares exist and wait for their verification, or for a cancellation")
        }
        guard nonce.utf8.elementsEqual(attempt.nonce.utf8) else {
            throw VaultError.badRequest("incorrect nonce supplied; nonce for rotation is \"\(attempt.nonce)\"")
        }
        switch attempt.progress.submit(share) {
        case .invalid(let reason): throw VaultError.badRequest(reason)
        case .progress:
            rekey = attempt
            return Effect(.doubled(describeRekey()))
        case .complete(let key):
            rekey = nil
            let (record, shares): (SealRecord, [SharedSecret])
            do {
                (record, shares) = try sealStore.newShares(
                    combined: key,
                    shares: attempt.shares,
                    threshold: attempt.threshold
                )
            } catch {
                throw VaultError(
                    .badRequest,
                    error.code == .wrongKey
                        ? "these shares are not those of this vault: begin again" : error.message,
                    cause: error
                )
            }
            var generation: UInt64?
            if attempt.requiresVerification {
                attempt.pending = record
                attempt.verification = UnsealProgress(threshold: attempt.threshold)
                attempt.verificationNonce = RequestContext.newUUID()
                rekey = attempt
            } else {
                generation = try await sealStore.adopt(record)
            }
            return Effect(.doubledBody(newShares(shares, attempt)), generation: generation)
        }
    }

    private func newShares(_ shares: [SharedSecret], _ attempt: RekeyAttempt) -> ResponseBody {
        var body = ResponseBody()
        body.append(text: #"{"backup":false,"complete":true,"keys":"#)
        body.append(list: shares.map { share in share.withSecret { SharedSecret(Hex.encodeSecret($0)) } })
        body.append(text: #","keys_base64":"#)
        body.append(list: shares.map { share in share.withSecret { SharedSecret(Base64.encodeSecret($0)) } })
        let rest: JSONValue = [
            "nonce": .string(attempt.nonce), "pgp_fingerprints": .null,
            "verification_nonce": .string(attempt.verificationNonce),
            "verification_required": .bool(attempt.requiresVerification), "n": .integer(attempt.shares),
            "t": .integer(attempt.threshold), "started": .bool(false),
        ]
        body.append([0x2c] + Array(rest.encoded().dropFirst()))
        return body
    }

    // MARK: verification

    private func describeVerification() throws -> [JSONValue.Member] {
        guard let rekey, let verification = rekey.verification else {
            throw VaultError.badRequest("no rotation verification in progress")
        }
        return [
            .init("nonce", .string(rekey.verificationNonce)), .init("started", .bool(true)),
            .init("t", .integer(rekey.threshold)), .init("n", .integer(rekey.shares)),
            .init("progress", .integer(verification.count)),
        ]
    }

    private func verifyRekey(_ context: RequestContext) async throws -> Effect {
        let (share, nonce) = try shareAndNonce(context)
        guard var attempt = rekey, let record = attempt.pending, var verification = attempt.verification else {
            throw VaultError.badRequest("no rotation verification in progress")
        }
        guard nonce.utf8.elementsEqual(attempt.verificationNonce.utf8) else {
            throw VaultError.badRequest(
                "incorrect nonce supplied; nonce for verification is \"\(attempt.verificationNonce)\""
            )
        }
        switch verification.submit(share) {
        case .invalid(let reason): throw VaultError.badRequest(reason)
        case .progress:
            attempt.verification = verification
            rekey = attempt
            return Effect(.doubled(try describeVerification()))
        case .complete(let key):
            guard sealStore.accepts(combined: key, record) else {
                attempt.verification = UnsealProgress(threshold: attempt.threshold)
                rekey = attempt
                throw VaultError.badRequest(
                    "these are not the new shares: the count starts again, the old shares still count"
                )
            }
            rekey = nil
            let generation = try await sealStore.adopt(record)
            return Effect(
                .doubled([.init("complete", .bool(true)), .init("nonce", .string(attempt.verificationNonce))]),
                generation: generation
            )
        }
    }
}
