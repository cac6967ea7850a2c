internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Using keys of `transit/`: one item, or up to a thousand in `batch_input`.
extension Vault {
    private static let maximumBatch = 1000

    /// One item's answer: members in order, some of them secret.
    private struct ItemAnswer {
        var body = ResponseBody()
        private var isFirst = true

        mutating func append(_ name: String, _ value: JSONValue) {
            start(name)
            body.append(value.encoded())
        }

        mutating func append(_ name: String, secret: SharedSecret) {
            start(name)
            body.append(quotedSecret: secret)
        }

        private mutating func start(_ name: String) {
            body.append(text: (isFirst ? "{\"" : ",\"") + name + "\":")
            isFirst = false
        }

        func closed() -> ResponseBody {
            var body = body
            body.append(text: isFirst ? "{}" : "}")
            return body
        }
    }

    private typealias Operation = (TransitKey, JSONView?) throws -> ItemAnswer

    func transitUseEndpoint(
        _ context: RequestContext,
        _ place: TransitPlace,
        _ action: String,
        _ name: String,
        _ option: String?,
        _ what: AuditWhat
    ) throws -> Endpoint? {
        switch action {
        case "encrypt" where option == nil:
            guard try transitKey(place, name) == nil else {
                return use(place, name, what, failsBatch: true) { try Self.encrypt($0, $1) }
            }
            // The first use makes the key, for those who may.
            return .change(.transitUse, what, .capability(.create)) { vault, context in
                let generation = try await vault.changeKey(place, name) { known in
                    if let known { return known }
                    var key = TransitKey(name: name, kind: .aes256)
                    try key.rotate(at: context.now)
                    return key
                }.generation
                var effect = try vault.perform(place, name, what, context, failsBatch: true) {
                    try Self.encrypt($0, $1)
                }
                effect.generation = generation
                return effect
            }
        case "decrypt" where option == nil:
            return use(place, name, what, failsBatch: true) { key, item in
                var answer = ItemAnswer()
                answer.append("plaintext", secret: try Self.encoded(try Self.decrypt(key, item)))
                return answer
            }
        case "rewrap" where option == nil:
            return use(place, name, what, failsBatch: true) { key, item in
                let plaintext = try Self.decrypt(key, item)
                return try Self.encrypt(key, plaintext, aad: Self.associatedData(item), item)
            }
        case "datakey":
            guard let option else { return nil }
            guard option == "plaintext" || option == "wrapped" else {
                throw VaultError.badRequest("Invalid path, must be 'plaintext' or 'wrapped'")
            }
            return use(place, name, what, failsBatch: true) {
                try Self.dataKey($0, $1, showsPlaintext: option == "plaintext")
            }
        case "sign":
            return use(place, name, what, failsBatch: false) { try Self.sign($0, $1) }
        case "hmac":
            return use(place, name, what, failsBatch: false) { try Self.authenticate($0, $1, option) }
        case "verify":
            return use(place, name, what, failsBatch: false) { try Self.verify($0, $1, option) }
        default: return nil
        }
    }

    private func use(
        _ place: TransitPlace,
        _ name: String,
        _ what: AuditWhat,
        failsBatch: Bool,
        _ operation: @escaping @Sendable (TransitKey, JSONView?) throws -> ItemAnswer
    ) -> Endpoint {
        .read(.transitUse, what, .capability(.update)) { vault, context in
            try vault.perform(place, name, what, context, failsBatch: failsBatch, operation)
        }
    }

    /// - Parameter failsBatch: whether one bad item of many makes the whole answer a 400, as clients know it.
    private func perform(
        _ place: TransitPlace,
        _ name: String,
        _ what: AuditWhat,
        _ context: RequestContext,
        failsBatch: Bool,
        _ operation: Operation
    ) throws -> Effect {
        guard let key = try transitKey(place, name) else { throw VaultError.badRequest("encryption key not found") }
        var what = what
        what.version = Int(clamping: key.latest)
        return try withBody(context) { body in
            guard let batch = body?["batch_input"] else {
                return Effect(.data(try operation(key, body).closed()), what: what)
            }
            guard batch.isArray, !batch.elements.isEmpty else {
                throw VaultError.badRequest("missing batch input to process")
            }
            guard batch.elements.count <= Self.maximumBatch else {
                throw VaultError.badRequest("batch_input has at most \(Self.maximumBatch) items")
            }
            what.details = [("items", .int(Int64(batch.elements.count)))]
            return try self.batch(key, batch.elements, what, failsBatch: failsBatch, operation)
        }
    }

    private func batch(
        _ key: TransitKey,
        _ items: [JSONView],
        _ what: AuditWhat,
        failsBatch: Bool,
        _ operation: Operation
    ) throws -> Effect {
        var body = ResponseBody()
        body.append(text: #"{"batch_results":["#)
        var failures = 0
        for (index, item) in items.enumerated() {
            if index > 0 { body.append(text: ",") }
            var answer = ItemAnswer()
            do {
                answer = try operation(key, item)
            } catch let error as VaultError where error.code == .badRequest {
                failures += 1
                answer.append("error", .string(error.message))
            }
            answer.append("reference", .string(item["reference"]?.string ?? ""))
            body.append(answer.closed())
        }
        body.append(text: "]}")
        let hasFailed = failsBatch && failures > 0
        return Effect(.data(body, status: hasFailed ? 400 : 200), what: what, failure: hasFailed ? "bad_request" : nil)
    }

    // MARK: one item

    /// A field of base64, decoded into guarded memory; nil when it is not sent.
    private static func secretField(_ body: JSONView?, _ name: String) throws -> SharedSecret? {
        guard let field = body?[name] else { return nil }
        guard let count = field.stringCount else { throw VaultError.badRequest("\(name) is a text in base64") }
        guard count > 0 else { return SharedSecret(copying: []) }
        let decoded = SecretBytes(count: count) { field.decodeString(into: $0) }
            .withBytes { Base64.decodeShared($0) }
        guard let decoded else { throw VaultError.badRequest("illegal base64 data in \(name)") }
        return decoded
    }

    private static func encoded(_ secret: SharedSecret) throws -> SharedSecret {
        secret.withSecret { SharedSecret(Base64.encodeSecret($0)) }
    }

    private static func associatedData(_ body: JSONView?) throws -> [UInt8] {
        if let context = body?["context"]?.string, !context.isEmpty {
            throw VaultError.badRequest("provided context but key is not derived")
        }
        if let nonce = body?["nonce"]?.string, !nonce.isEmpty {
            throw VaultError.badRequest("provided nonce not allowed for this key")
        }
        guard let text = body?["associated_data"]?.string, !text.isEmpty else { return [] }
        guard let bytes = Base64.decode(text.utf8) else {
            throw VaultError.badRequest("illegal base64 data in associated_data")
        }
        return bytes
    }

    private static func keyVersion(_ body: JSONView?) throws -> Int64 {
        guard let value = body?["key_version"] else { return 0 }
        guard let number = value.weakInteger else { throw VaultError.badRequest("key_version is a whole number") }
        return number
    }

    private static func encrypt(_ key: TransitKey, _ item: JSONView?) throws -> ItemAnswer {
        guard let plaintext = try secretField(item, "plaintext") else {
            throw VaultError.badRequest("missing plaintext to encrypt")
        }
        return try encrypt(key, plaintext, aad: associatedData(item), item)
    }

    private static func encrypt(_ key: TransitKey, _ plaintext: SharedSecret, aad: [UInt8], _ item: JSONView?) throws
        -> ItemAnswer
    {
        guard key.kind == .aes256 else {
            throw VaultError.badRequest("message encryption not supported for key type \(key.kind.rawValue)")
        }
        let version = try key.version(forEncryption: keyVersion(item))
        var answer = ItemAnswer()
        answer.append(
            "ciphertext",
            .string(VersionedText.text(version.number, try version.encrypt(plaintext, aad: aad)))
        )
        answer.append("key_version", .integer(version.number))
        return answer
    }

    private static func decrypt(_ key: TransitKey, _ item: JSONView?) throws -> SharedSecret {
        guard let text = item?["ciphertext"]?.string, !text.isEmpty else {
            throw VaultError.badRequest("missing ciphertext to decrypt")
        }
        guard key.kind == .aes256 else {
            throw VaultError.badRequest("message decryption not supported for key type \(key.kind.rawValue)")
        }
        let sealed = try VersionedText(text, "ciphertext")
        let version = try key.version(sealed.version, of: "ciphertext")
        guard sealed.bytes.count >= 28 else { throw VaultError.badRequest("invalid ciphertext length") }
        do {
            return try version.decrypt(sealed.bytes, aad: associatedData(item))
        } catch is CryptoError {
            throw VaultError.badRequest("cipher: message authentication failed")
        }
    }

    private static func dataKey(_ key: TransitKey, _ item: JSONView?, showsPlaintext: Bool) throws -> ItemAnswer {
        let bits = item?["bits"]?.weakInteger ?? 256
        guard [128, 256, 512].contains(bits) else { throw VaultError.badRequest("invalid bit length") }
        let fresh = SharedSecret(SecretBytes.randomKey(count: Int(bits) / 8))
        var answer = try encrypt(key, fresh, aad: associatedData(item), item)
        if showsPlaintext { answer.append("plaintext", secret: try encoded(fresh)) }
        return answer
    }

    private static func input(_ item: JSONView?) throws -> SharedSecret {
        guard let input = try secretField(item, "input") else { throw VaultError.badRequest("missing input") }
        return input
    }

    private static func sign(_ key: TransitKey, _ item: JSONView?) throws -> ItemAnswer {
        let version = try key.version(forEncryption: keyVersion(item))
        guard let signing = version.signing else {
            throw VaultError.badRequest("key type \(key.kind.rawValue) does not support signing")
        }
        if item?["prehashed"]?.weakBool ?? false {
            throw VaultError.badRequest("prehashed is not available for ed25519: send the whole input")
        }
        let signature = try input(item).withBytes { signing.sign($0) }
        var answer = ItemAnswer()
        answer.append("signature", .string(VersionedText.text(version.number, signature)))
        answer.append("key_version", .integer(version.number))
        return answer
    }

    private static func algorithm(_ item: JSONView?, _ option: String?) throws -> HashAlgorithm {
        let name = option ?? item?["algorithm"]?.string ?? ""
        guard let algorithm = HashAlgorithm(rawValue: name.isEmpty ? "sha2-256" : name) else {
            throw VaultError.badRequest("unsupported algorithm \(name.prefix(64))")
        }
        return algorithm
    }

    private static func authenticate(_ key: TransitKey, _ item: JSONView?, _ option: String?) throws -> ItemAnswer {
        let version = try key.version(forEncryption: keyVersion(item))
        let code = try version.authenticate(try input(item), algorithm(item, option), kind: key.kind)
        var answer = ItemAnswer()
        answer.append("hmac", .string(VersionedText.text(version.number, code)))
        return answer
    }

    private static func verify(_ key: TransitKey, _ item: JSONView?, _ option: String?) throws -> ItemAnswer {
        let (signature, code) = (item?["signature"]?.string ?? "", item?["hmac"]?.string ?? "")
        guard signature.isEmpty != code.isEmpty else {
            throw VaultError.badRequest(
                signature.isEmpty
                    ? "neither a 'signature' nor an 'hmac' were given to verify"
                    : "provide one of 'signature' or 'hmac'"
            )
        }
        let isValid: Bool
        if !code.isEmpty {
            let given = try VersionedText(code, "hmac")
            let version = try key.version(given.version, of: "hmac")
            let wanted = try version.authenticate(try input(item), algorithm(item, option), kind: key.kind)
            isValid = given.bytes.withUnsafeBytes { given in wanted.withUnsafeBytes { Memory.isEqual(given, $0) } }
        } else {
            let given = try VersionedText(signature, "signature")
            let version = try key.version(given.version, of: "signature")
            guard let signing = version.signing else {
                throw VaultError.badRequest("key type \(key.kind.rawValue) does not support verification")
            }
            isValid = try input(item).withBytes {
                SigningKey.isValid(given.bytes, over: $0, publicKey: signing.publicKey)
            }
        }
        var answer = ItemAnswer()
        answer.append("valid", .bool(isValid))
        return answer
    }
}
