internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Signatures and HMACs.
extension Vault {
    private static let undecodable = "unable to decode input as base64: "

    func transitSign(_ place: TransitPlace, _ what: AuditWhat, _ pathAlgorithm: String?) -> Endpoint {
        .read(.transitUse, what, .capability(.update)) { vault, context in
            let operation = TransitOperation(
                besidesError: [.init("key_version", .integer(0))],
                known: Self.signatureFields.union(["input", "key_version"])
            )
            let key = try vault.transitKey(place, orSay: "signing key not found")
            guard key.key.kind.signs else {
                throw VaultError.badRequest("key type \(key.key.kind.rawValue) does not support signing")
            }
            // Ed25519 hashes by itself; a name that does not exist is refused all the same.
            _ = try vault.signatureOptions(context, pathAlgorithm)
            return try vault.answerTransit(context, what, operation) { item, answer in
                guard let input = try item.decoded("input", prefix: Self.undecodable) else {
                    throw VaultError.badRequest("missing input")
                }
                let made = try key.sign(input, version: item.keyVersion)
                answer.add("signature", .string(made.text))
                answer.add("key_version", .integer(made.version))
                answer.version = made.version
            }
        }
    }

    func transitHMAC(_ place: TransitPlace, _ what: AuditWhat, _ pathAlgorithm: String?) -> Endpoint {
        .read(.transitUse, what, .capability(.update)) { vault, context in
            let operation = TransitOperation(known: ["input", "algorithm", "key_version"])
            let key = try vault.transitKey(place, orSay: "encryption key not found")
            let name = try vault.withBody(context) { try pathAlgorithm ?? TransitItem($0).text("algorithm") }
            guard let algorithm = HashAlgorithm(rawValue: name ?? "sha2-256") else {
                throw VaultError.badRequest("unsupported algorithm \(Self.shown(name))")
            }
            return try vault.answerTransit(context, what, operation) { item, answer in
                guard let input = try item.decoded("input", prefix: Self.undecodable) else {
                    throw VaultError.badRequest("missing input for HMAC")
                }
                let made = try key.authenticate(input, algorithm, version: item.keyVersion)
                answer.add("hmac", .string(made.text))
                answer.version = made.version
            }
        }
    }

    /// Verifies signatures or HMACs; a batch has one kind only.
    func transitVerify(_ place: TransitPlace, _ what: AuditWhat, _ pathAlgorithm: String?) -> Endpoint {
        .read(.transitUse, what, .capability(.update)) { vault, context in
            let operation = TransitOperation(
                besidesError: [.init("valid", .bool(false))],
                known: Self.signatureFields.union(["input", "signature", "hmac"])
            )
            var isSignature = false
            var loaded: LoadedTransitKey?
            let algorithm = try vault.signatureOptions(context, pathAlgorithm)
            return try vault.answerTransit(context, what, operation) { items, isBatch in
                isSignature = try Self.areSignatures(items, isBatch: isBatch)
                let key = try vault.transitKey(
                    place,
                    orSay: isSignature ? "signature verification key not found" : "encryption key not found"
                )
                guard !isSignature || key.key.kind.signs else {
                    throw VaultError.badRequest("key type \(key.key.kind.rawValue) does not support verification")
                }
                loaded = key
            } _: { item, answer in
                guard let key = loaded else { return }
                guard let input = try item.decoded("input", prefix: Self.undecodable) else {
                    throw VaultError.badRequest("missing input")
                }
                let result =
                    isSignature
                    ? try key.verify(try item.text("signature") ?? "", over: input)
                    : try key.verifyHMAC(try item.text("hmac") ?? "", over: input, algorithm)
                answer.add("valid", .bool(result.isValid))
                answer.version = result.version
            }
        }
    }

    private static func areSignatures(_ items: [TransitItem], isBatch: Bool) throws(VaultError) -> Bool {
        let signatures = items.count { $0.has("signature") }
        if !isBatch {
            guard signatures > 0 || items.contains(where: { $0.has("hmac") }) else {
                throw .badRequest("neither a 'signature' nor an 'hmac' were given to verify")
            }
            return signatures > 0
        }
        let tags = items.count { !$0.has("signature") && $0.has("hmac") }
        guard signatures == 0 || tags == 0 else {
            throw .badRequest("elements of batch_input must all provide 'signature' or all provide 'hmac'")
        }
        guard signatures + tags > 0 else {
            throw .badRequest("no batch_input elements have 'signature' or 'hmac'")
        }
        guard signatures + tags == items.count else {
            throw .badRequest("some elements of batch_input are missing '\(signatures > 0 ? "signature" : "hmac")'")
        }
        return signatures > 0
    }

    private static let signatureFields: Set = [
        "hash_algorithm", "algorithm", "prehashed", "signature_algorithm", "marshaling_algorithm", "salt_length",
    ]

    /// The hash function that is named; SHA-256 when none is.
    private func signatureOptions(_ context: RequestContext, _ pathAlgorithm: String?) throws -> HashAlgorithm {
        try withBody(context) { body in
            let item = TransitItem(body)
            let marshaling = try item.text("marshaling_algorithm") ?? "asn1"
            guard marshaling == "asn1" else {
                throw VaultError.badRequest(
                    marshaling == "jws"
                        ? "marshaling_algorithm jws is not available: leave it out"
                        : "invalid marshaling type \(Self.shown(marshaling))"
                )
            }
            let name = try pathAlgorithm ?? item.text("hash_algorithm") ?? item.text("algorithm") ?? "sha2-256"
            guard let algorithm = HashAlgorithm(rawValue: name) else {
                throw VaultError.badRequest("invalid hash algorithm \(Self.shown(name))")
            }
            return algorithm
        }
    }

    private static func shown(_ name: String?) -> String { "\"\((name ?? "").prefix(64))\"" }
}
