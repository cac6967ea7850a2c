internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// What needs no key: random bytes and digests.
extension Vault {
    private static let maximumToolBytes: Int64 = 131_072

    /// `random[/<source>][/<bytes>]` and `hash[/<algorithm>]`, of `sys/tools/` and of `transit/`.
    func toolEndpoint(
        _ tool: String,
        _ options: [String],
        _ what: AuditWhat,
        _ operation: AuditOperation
    ) -> Endpoint {
        .read(operation, what, .capability(.update)) { vault, context in
            try tool == "hash"
                ? vault.hashInput(context, options.first, mayBeAbsent: operation != .transitUse)
                : vault.randomBytes(context, options)
        }
    }

    private func randomBytes(_ context: RequestContext, _ parts: [String]) throws -> Effect {
        try withBody(context) { body in
            var parts = parts
            var warnings = Self.unrecognized(body, ["bytes", "format", "source"])
            var source = try TransitItem(body).text("source") ?? "platform"
            if let first = parts.first, parts.count == 2 || first.utf8.allSatisfy({ !(0x30...0x39).contains($0) }) {
                source = first
                parts.removeFirst()
            }
            guard ["platform", "seal", "all"].contains(source) else {
                throw VaultError.badRequest(
                    "unsupported entropy source \"\(source.prefix(64))\"; must be \"platform\" or \"seal\", or \"all\""
                )
            }
            if source == "seal" {
                warnings.append("no seal/entropy augmentation available, using platform entropy source")
            }
            let count = try Self.randomCount(parts.first, body)
            let isHex = try Self.isHex(body, byDefault: false)
            let secret = SecretBytes(count: count) { Random.fill($0) }
            var answer = TransitAnswer()
            answer.add(
                "random_bytes",
                secret: SharedSecret(isHex ? Hex.encodeSecret(secret) : Base64.encodeSecret(secret))
            )
            answer.close()
            var reply = Reply.data(answer.object)
            reply.warnings = warnings
            return Effect(reply)
        }
    }

    private static func randomCount(_ text: String?, _ body: JSONView?) throws(VaultError) -> Int {
        var count: Int64 = 32
        if let text {
            guard let number = Int64(text) else {
                throw .badRequest("error parsing url-set byte count: a whole number is expected")
            }
            count = number
        } else if let value = body?["bytes"] {
            guard let number = value.weakInteger else {
                throw .badRequest(
                    "Field validation failed: error converting input for field \"bytes\": a whole number is expected"
                )
            }
            count = number
        }
        guard count >= 1 else { throw .badRequest("'bytes' cannot be less than 1") }
        guard count <= maximumToolBytes else {
            throw .badRequest("'bytes' should be less than \(maximumToolBytes)")
        }
        return Int(count)
    }

    private static func isHex(_ body: JSONView?, byDefault isHex: Bool) throws(VaultError) -> Bool {
        guard let format = try TransitItem(body).text("format") else { return isHex }
        switch format {
        case "hex": return true
        case "base64": return false
        default:
            let shown = isHex ? String(format.prefix(64)) : "\"\(format.prefix(64))\""
            throw .badRequest("unsupported encoding format \(shown); must be \"hex\" or \"base64\"")
        }
    }

    /// - Parameter mayBeAbsent: whether no input counts as an empty one, as `sys/tools/` has it.
    private func hashInput(_ context: RequestContext, _ pathAlgorithm: String?, mayBeAbsent: Bool) throws -> Effect {
        try withBody(context) { body in
            let item = TransitItem(body)
            let sent = try item.decoded("input", prefix: "unable to decode input as base64: ")
            guard let input = sent ?? (mayBeAbsent ? SharedSecret(copying: []) : nil) else {
                throw VaultError.badRequest("input missing")
            }
            let name = try pathAlgorithm ?? item.text("algorithm") ?? "sha2-256"
            guard let algorithm = HashAlgorithm(rawValue: name) else {
                throw VaultError.badRequest("unsupported algorithm \(name.prefix(64))")
            }
            let isHex = try Self.isHex(body, byDefault: true)
            let sum = try input.withBytes { try algorithm.hash($0) }
            var reply = Reply.data(["sum": .string(isHex ? Hex.encode(sum) : Base64.encode(sum))])
            reply.warnings = Self.unrecognized(body, ["input", "algorithm", "format"])
            return Effect(reply)
        }
    }
}
