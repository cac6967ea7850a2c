internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// `random[/<bytes>]` and `hash[/<algorithm>]`, of `sys/tools/` and of `transit/`.
    func toolEndpoint(_ tool: String, _ option: String?, _ what: AuditWhat, _ operation: AuditOperation) -> Endpoint {
        .read(operation, what, .capability(.update)) { vault, context in
            try vault.withBody(context) { body in
                let isHash = tool == "hash"
                let format = body?["format"]?.string ?? (isHash ? "hex" : "base64")
                guard format == "hex" || format == "base64" else {
                    throw VaultError.badRequest(
                        "unsupported encoding format \(format.prefix(32)): must be \"hex\" or \"base64\""
                    )
                }
                return Effect(.data(try isHash ? Self.hash(body, option, format) : Self.random(body, option, format)))
            }
        }
    }

    private static func random(_ body: JSONView?, _ option: String?, _ format: String) throws -> ResponseBody {
        var count: Int64 = 32
        let source = ["platform", "seal", "all"]
        if let option, !source.contains(option) {
            guard let number = Int64(option) else {
                throw VaultError.badRequest("error parsing url-set byte count: \"\(option.prefix(32))\" is no number")
            }
            count = number
        } else if let value = body?["bytes"] {
            guard let number = value.weakInteger else { throw VaultError.badRequest("'bytes' is a whole number") }
            count = number
        }
        guard count >= 1 else { throw VaultError.badRequest("'bytes' cannot be less than 1") }
        guard count <= 131_072 else { throw VaultError.badRequest("'bytes' should be less than 131072") }
        let bytes = SecretBytes(count: Int(count)) { Random.fill($0) }
        var answer = ResponseBody()
        answer.append(text: #"{"random_bytes":"#)
        answer.append(
            quotedSecret: SharedSecret(format == "hex" ? Hex.encodeSecret(bytes) : Base64.encodeSecret(bytes))
        )
        answer.append(text: "}")
        return answer
    }

    private static func hash(_ body: JSONView?, _ option: String?, _ format: String) throws -> ResponseBody {
        let name = option ?? body?["algorithm"]?.string ?? "sha2-256"
        guard let algorithm = HashAlgorithm(rawValue: name) else {
            throw VaultError.badRequest("unsupported algorithm \(name.prefix(64))")
        }
        var input = SharedSecret(copying: [])
        if let field = body?["input"], let count = field.stringCount, count > 0 {
            let decoded = SecretBytes(count: count) { field.decodeString(into: $0) }
                .withBytes { Base64.decodeShared($0) }
            guard let decoded else {
                throw VaultError.badRequest("unable to decode input as base64: illegal base64 data")
            }
            input = decoded
        }
        let sum = try input.withBytes { try algorithm.hash($0) }
        let text = format == "hex" ? Hex.encode(sum) : Base64.encode(sum)
        return ResponseBody(JSONValue.object(["sum": .string(text)]).encoded())
    }
}
