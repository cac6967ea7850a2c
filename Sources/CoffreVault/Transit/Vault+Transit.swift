internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Encryption as a service: the keys stay here, data come and go.
extension Vault {
    func transitEndpoint(_ context: RequestContext, _ mount: Mount, _ rest: [UInt8]) throws -> Endpoint? {
        let parts = rest.split(separator: 0x2f, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard let verb = parts.first else { return nil }
        switch (verb, parts.count) {
        case ("keys", 1): return transitKeyList(context, mount)
        case ("random", 1...3), ("hash", 1...2):
            let what = AuditWhat(path: mount.path + verb)
            guard context.verb == .write else { return .unsupported(what) }
            return toolEndpoint(verb, Array(parts.dropFirst()), what, .transitUse)
        case ("datakey", 3):
            return transitUse(context, mount, verb, name: parts[2]) { transitDataKey($0, $1, kind: parts[1]) }
        case ("keys", 2...3):
            guard TransitPlace.isName(parts[1]) else { return nil }
            return transitKeyEndpoint(context, TransitPlace(mount: mount, name: parts[1]), parts.dropFirst(2).first)
        case ("encrypt", 2): return try transitUse(context, mount, verb, name: parts[1], transitEncrypt)
        case ("decrypt", 2): return transitUse(context, mount, verb, name: parts[1], transitDecrypt)
        case ("rewrap", 2): return transitUse(context, mount, verb, name: parts[1], transitRewrap)
        case ("sign", 2...3), ("verify", 2...3), ("hmac", 2...3):
            let algorithm = parts.dropFirst(2).first
            return transitUse(context, mount, verb, name: parts[1]) { place, what in
                switch verb {
                case "sign": transitSign(place, what, algorithm)
                case "verify": transitVerify(place, what, algorithm)
                default: transitHMAC(place, what, algorithm)
                }
            }
        default: return nil
        }
    }

    /// An operation with the key `name`; the record names the operation, the key and its version.
    private func transitUse(
        _ context: RequestContext,
        _ mount: Mount,
        _ verb: String,
        name: String,
        _ make: (TransitPlace, AuditWhat) throws -> Endpoint
    ) rethrows -> Endpoint? {
        guard TransitPlace.isName(name) else { return nil }
        let what = AuditWhat(path: "\(mount.path)\(verb)/\(name)")
        guard context.verb == .write else { return .unsupported(what) }
        return try make(TransitPlace(mount: mount, name: name), what)
    }

    /// The key at `place`, from the cache or the barrier; nil when there is none.
    func transitKey(_ place: TransitPlace) throws -> LoadedTransitKey? {
        guard let state = unsealed else { throw VaultError.sealed }
        if let known = state.transitKeys[place.row] { return known }
        guard let row = try barrier.get(place.row) else { return nil }
        let loaded = LoadedTransitKey(try TransitKey(decoding: row.value, rowVersion: row.version))
        state.transitKeys[place.row] = loaded
        return loaded
    }

    /// - Throws: ``VaultError`` `.badRequest` when there is none.
    func transitKey(_ place: TransitPlace, orSay message: String) throws -> LoadedTransitKey {
        guard let key = try transitKey(place) else { throw VaultError.badRequest(message) }
        return key
    }

    // MARK: encryption

    private static let encryption = TransitOperation(
        required: ("plaintext", "missing plaintext to encrypt"),
        failsWhole: true,
        known: ["plaintext", "associated_data", "key_version", "type", "convergent_encryption"]
    )

    /// Creates the key when it is not there and the caller may.
    private func transitEncrypt(_ place: TransitPlace, _ what: AuditWhat) throws -> Endpoint {
        if try transitKey(place) != nil {
            return .read(.transitUse, what, .capability(.update)) { vault, context in
                try vault.encryptTransit(place, what, context)
            }
        }
        return .change(.transitKey, what, .capability(.create)) { vault, context in
            try vault.checkNewTransitKey(context)
            guard try vault.isTransitFeasible(context, Self.encryption, Self.checkFirstEncryption) else {
                // No key is made for a batch of which nothing can be encrypted.
                return try vault.answerTransit(context, what, Self.encryption) { item, _ in
                    try Self.checkFirstEncryption(item)
                }
            }
            let made = try await vault.changeTransitKey(place) { known in
                if known != nil {
                    try vault.decideAgain(.update, context)
                    return .nothing
                }
                return .put(TransitKey(.aes, keySize: 0, at: context.now))
            }
            var effect = try vault.encryptTransit(place, what, context)
            effect.generation = made.generation
            return effect
        }
    }

    /// - Throws: ``VaultError`` `.badRequest` when a key of another kind is asked for.
    private func checkNewTransitKey(_ context: RequestContext) throws {
        try withBody(context) { body in
            if let type = try TransitItem(body).text("type"), type != TransitKey.Kind.aes.rawValue {
                throw VaultError.badRequest("unknown key type \(type.prefix(64))")
            }
            try Self.refuseConvergence(body)
        }
    }

    private static func refuseConvergence(_ body: JSONView?) throws(VaultError) {
        if body?["convergent_encryption"]?.weakBool ?? false {
            throw .badRequest("convergent_encryption is not available: leave it out")
        }
    }

    /// - Throws: ``VaultError`` `.badRequest` when a key with one version cannot encrypt this.
    private static func checkFirstEncryption(_ item: TransitItem) throws(VaultError) {
        guard try item.decoded("plaintext") != nil else { throw .badRequest("missing plaintext to encrypt") }
        let version = try item.keyVersion
        guard version >= 0 else { throw .badRequest("requested version for encryption is negative") }
        guard version <= 1 else {
            throw .badRequest("requested version for encryption is higher than the latest key version")
        }
        _ = try item.associatedData
        try item.checkContext()
    }

    private func encryptTransit(_ place: TransitPlace, _ what: AuditWhat, _ context: RequestContext) throws -> Effect {
        try withBody(context) { try Self.refuseConvergence($0) }
        let key = try transitKey(place, orSay: "encryption key not found")
        return try answerTransit(context, what, Self.encryption) { item, answer in
            guard let plaintext = try item.decoded("plaintext") else {
                throw VaultError.badRequest("missing plaintext to encrypt")
            }
            let made = try key.encrypt(plaintext, associatedData: item.associatedData, version: item.keyVersion)
            answer.add("ciphertext", .string(made.text))
            answer.add("key_version", .integer(made.version))
            answer.version = made.version
        }
    }

    private func transitDecrypt(_ place: TransitPlace, _ what: AuditWhat) -> Endpoint {
        .read(.transitUse, what, .capability(.update)) { vault, context in
            let operation = TransitOperation(
                required: ("ciphertext", "missing ciphertext to decrypt"),
                failsWhole: true,
                besidesError: [.init("plaintext", .string(""))],
                known: ["ciphertext", "associated_data"]
            )
            var key: LoadedTransitKey?
            return try vault.answerTransit(context, what, operation) { items, isBatch in
                if !isBatch, try items.first?.text("ciphertext")?.isEmpty ?? true {
                    throw VaultError.badRequest("missing ciphertext to decrypt")
                }
                key = try vault.transitKey(place, orSay: "encryption key not found")
            } _: { item, answer in
                guard let key else { return }
                let opened = try key.decrypt(try item.text("ciphertext") ?? "", associatedData: item.associatedData)
                answer.add("plaintext", secret: SharedSecret(opened.plaintext.withSecret { Base64.encodeSecret($0) }))
                answer.version = opened.version
            }
        }
    }

    /// Decrypts and encrypts under the latest version, without showing the plaintext; the associated data stay.
    private func transitRewrap(_ place: TransitPlace, _ what: AuditWhat) -> Endpoint {
        .read(.transitUse, what, .capability(.update)) { vault, context in
            let operation = TransitOperation(known: ["ciphertext", "associated_data", "key_version"])
            var key: LoadedTransitKey?
            return try vault.answerTransit(context, what, operation) { items, isBatch in
                if !isBatch, try items.first?.text("ciphertext")?.isEmpty ?? true {
                    throw VaultError.badRequest("missing ciphertext to decrypt")
                }
                key = try vault.transitKey(place, orSay: "encryption key not found")
            } _: { item, answer in
                guard let key else { return }
                let associatedData = try item.associatedData
                let opened = try key.decrypt(try item.text("ciphertext") ?? "", associatedData: associatedData)
                let made = try key.encrypt(
                    opened.plaintext,
                    associatedData: associatedData,
                    version: item.keyVersion
                )
                answer.add("ciphertext", .string(made.text))
                answer.add("key_version", .integer(made.version))
                answer.version = made.version
            }
        }
    }

    /// A fresh random key for the caller, in clear and encrypted, or encrypted only.
    private func transitDataKey(_ place: TransitPlace, _ what: AuditWhat, kind: String) -> Endpoint {
        .read(.transitUse, what, .capability(.update)) { vault, context in
            guard ["plaintext", "wrapped"].contains(kind) else {
                throw VaultError.badRequest("Invalid path, must be 'plaintext' or 'wrapped'")
            }
            let key = try vault.transitKey(place, orSay: "encryption key not found")
            return try vault.withBody(context) { body in
                let item = TransitItem(body)
                try item.checkContext()
                var bits: Int64 = 256
                if let value = body?["bits"] {
                    guard let number = value.weakInteger else {
                        throw VaultError.badRequest(
                            "Field validation failed: error converting input for field \"bits\": a whole number is expected"
                        )
                    }
                    bits = number
                }
                guard [128, 256, 512].contains(bits) else { throw VaultError.badRequest("invalid bit length") }
                let secret = SharedSecret(SecretBytes(count: Int(bits / 8)) { Random.fill($0) })
                let made = try key.encrypt(secret, associatedData: item.associatedData, version: item.keyVersion)
                var answer = TransitAnswer()
                answer.add("ciphertext", .string(made.text))
                answer.add("key_version", .integer(made.version))
                if kind == "plaintext" {
                    answer.add("plaintext", secret: SharedSecret(secret.withSecret { Base64.encodeSecret($0) }))
                }
                answer.close()
                var what = what
                what.version = Int(made.version)
                what.details = [("kind", .text(kind))]
                var reply = Reply.data(answer.object)
                reply.warnings = Self.unrecognized(body, ["bits", "associated_data", "key_version", "context"])
                return Effect(reply, what: what)
            }
        }
    }
}
