internal import CoffreCrypto
internal import CoffreWire

/// A named key of `transit/`, with all of its versions.
struct TransitKey: Sendable {
    enum Kind: String, Sendable {
        case aes256 = "aes256-gcm96"
        case ed25519
        case hmac
    }

    /// One version: what it encrypts or signs with, and what it authenticates with.
    final class Version: Sendable {
        let number: Int64
        let created: Timestamp
        /// 64 bytes: key (or seed) and key of HMAC.
        let material: SharedSecret
        private let cipher: AESGCM?
        let signing: SigningKey?

        /// - Throws: ``VaultError`` `.internalError`.
        init(number: Int64, created: Timestamp, material: SharedSecret, kind: Kind) throws(VaultError) {
            self.number = number
            self.created = created
            self.material = material
            let key = material.withBytes { material in
                SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: material[..<32]))
            }
            do throws(CryptoError) {
                cipher = kind == .aes256 ? try AESGCM(key: key) : nil
                signing = kind == .ed25519 ? try SigningKey(seed: key) : nil
            } catch {
                throw VaultError(.internalError, "internal error", cause: error)
            }
        }

        /// nonce(12) ‖ ciphertext ‖ tag(16).
        func encrypt(_ plaintext: SharedSecret, aad: [UInt8]) throws(CryptoError) -> [UInt8] {
            guard let cipher else { throw CryptoError(.libraryFailure, "no cipher") }
            var output = Random.bytes(12) + [UInt8](repeating: 0, count: plaintext.count + 16)
            let nonce = Array(output[..<12])
            let target = UnsafeMutableRawBufferPointer.allocate(byteCount: plaintext.count + 16, alignment: 16)
            defer { target.deallocate() }
            try plaintext.withBytes { plaintext throws(CryptoError) in
                try nonce.withRawBytes { nonce throws(CryptoError) in
                    try aad.withRawBytes { aad throws(CryptoError) in
                        try cipher.encrypt(plaintext, nonce: nonce, aad: aad, into: target)
                    }
                }
            }
            output.replaceSubrange(12..., with: target)
            return output
        }

        func decrypt(_ sealed: [UInt8], aad: [UInt8]) throws(CryptoError) -> SharedSecret {
            guard let cipher else { throw CryptoError(.libraryFailure, "no cipher") }
            return try sealed.withRawBytes { sealed throws(CryptoError) in
                try aad.withRawBytes { aad throws(CryptoError) in
                    SharedSecret(
                        try SecretBytes(count: sealed.count - 28) { target throws(CryptoError) in
                            try cipher.decrypt(
                                UnsafeRawBufferPointer(rebasing: sealed[12...]),
                                nonce: UnsafeRawBufferPointer(rebasing: sealed[..<12]),
                                aad: aad,
                                into: target
                            )
                        }
                    )
                }
            }
        }

        /// Keys of type `hmac` authenticate with the key itself, others with one of their own.
        func authenticate(_ input: SharedSecret, _ algorithm: HashAlgorithm, kind: Kind) throws(CryptoError) -> [UInt8]
        {
            let range = kind == .hmac ? 0..<32 : 32..<64
            return try material.withBytes { material throws(CryptoError) in
                let key = UnsafeRawBufferPointer(rebasing: material[range])
                return try input.withBytes { input throws(CryptoError) in
                    try algorithm.authenticate(input, key: key)
                }
            }
        }
    }

    let name: String
    let kind: Kind
    private(set) var versions: [Int64: Version] = [:]
    private(set) var latest: Int64 = 0
    var minimumDecryption: Int64 = 1
    var minimumEncryption: Int64 = 0
    private(set) var minimumAvailable: Int64 = 0
    var isDeletionAllowed = false

    /// A key without versions; see ``rotate(at:)``.
    init(name: String, kind: Kind) {
        self.name = name
        self.kind = kind
    }

    /// Adds the next version.
    mutating func rotate(at now: Timestamp) throws(VaultError) {
        latest += 1
        let material = SharedSecret(SecretBytes.randomKey(count: 64))
        versions[latest] = try Version(number: latest, created: now, material: material, kind: kind)
    }

    /// Erases every version below `version`.
    mutating func trim(to version: Int64) {
        minimumAvailable = version
        for number in versions.keys where number < version { versions[number] = nil }
    }

    /// The version to encrypt or sign with; 0 asks for the newest.
    /// - Throws: ``VaultError`` `.badRequest`.
    func version(forEncryption wanted: Int64) throws(VaultError) -> Version {
        let number = wanted == 0 ? latest : wanted
        if number < 0 { throw .badRequest("requested version for encryption is negative") }
        if number > latest {
            throw .badRequest("requested version for encryption is higher than the latest key version")
        }
        if number < minimumEncryption {
            throw .badRequest("requested version for encryption is less than the minimum encryption key version")
        }
        guard let version = versions[number] else { throw .badRequest("that key version has been trimmed") }
        return version
    }

    /// The version that `vault:v<number>:` names.
    /// - Parameter what: `ciphertext` or `signature`, for the sentence.
    /// - Throws: ``VaultError`` `.badRequest`.
    func version(_ number: Int64, of what: String) throws(VaultError) -> Version {
        // What was written before there were versions counts as the first.
        let number = number == 0 ? 1 : number
        if number > latest { throw .badRequest("invalid \(what): version is too new") }
        if number < minimumDecryption {
            throw .badRequest("\(what) version is disallowed by policy (too old)")
        }
        guard let version = versions[number] else { throw .badRequest("that key version has been trimmed") }
        return version
    }

    var json: JSONValue {
        let shown = versions.values.filter { $0.number >= minimumDecryption }.sorted { $0.number < $1.number }
        let keys = shown.map { version in
            let value: JSONValue
            if let signing = version.signing {
                value = [
                    "certificate_chain": "", "creation_time": .string(version.created.rfc3339), "name": "ed25519",
                    "public_key": .string(Base64.encode(signing.publicKey)),
                ]
            } else {
                value = .integer(version.created.seconds)
            }
            return JSONValue.Member(String(version.number), value)
        }
        return [
            "allow_plaintext_backup": .bool(false), "auto_rotate_period": .integer(0),
            "deletion_allowed": .bool(isDeletionAllowed), "derived": .bool(false), "exportable": .bool(false),
            "imported_key": .bool(false), "keys": .object(keys), "latest_version": .integer(latest),
            "min_available_version": .integer(minimumAvailable), "min_decryption_version": .integer(minimumDecryption),
            "min_encryption_version": .integer(minimumEncryption), "name": .string(name), "soft_deleted": .bool(false),
            "supports_decryption": .bool(kind == .aes256), "supports_derivation": .bool(false),
            "supports_encryption": .bool(kind == .aes256), "supports_signing": .bool(kind == .ed25519),
            "type": .string(kind.rawValue),
        ]
    }

    // MARK: storage form

    /// Length of the header (4, BE) ‖ header in JSON ‖ 64 bytes for each version, in order.
    var encoded: SharedSecret {
        let sorted = versions.values.sorted { $0.number < $1.number }
        let header: JSONValue = [
            "type": .string(kind.rawValue), "latest": .integer(latest), "decrypt": .integer(minimumDecryption),
            "encrypt": .integer(minimumEncryption), "available": .integer(minimumAvailable),
            "deletion": .bool(isDeletionAllowed),
            "versions": .array(
                sorted.map { .array([.integer($0.number), .integer($0.created.nanoseconds)]) }
            ),
        ]
        let text = header.encoded()
        return SharedSecret(
            SecretBytes(count: 4 + text.count + 64 * sorted.count) { target in
                target.storeBytes(of: UInt32(text.count).bigEndian, as: UInt32.self)
                UnsafeMutableRawBufferPointer(rebasing: target[4..<4 + text.count]).copyBytes(from: text)
                var position = 4 + text.count
                for version in sorted {
                    version.material.withBytes { material in
                        UnsafeMutableRawBufferPointer(rebasing: target[position..<position + 64])
                            .copyMemory(from: material)
                    }
                    position += 64
                }
            }
        )
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(name: String, decoding stored: SharedSecret) throws(VaultError) {
        let corrupt = VaultError(.storageCorrupt, "a key of transit cannot be read")
        let header: JSONValue? = stored.withBytes { bytes in
            guard bytes.count > 4 else { return nil }
            let length = Int(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
            guard length <= bytes.count - 4 else { return nil }
            return try? JSONValue(parsing: Array(bytes[4..<4 + length]))
        }
        guard let header, let kind = header["type"]?.string.flatMap({ Kind(rawValue: $0) }),
            let latest = header["latest"]?.integer, let list = header["versions"]?.array
        else { throw corrupt }
        self.name = name
        self.kind = kind
        self.latest = latest
        minimumDecryption = header["decrypt"]?.integer ?? 1
        minimumEncryption = header["encrypt"]?.integer ?? 0
        minimumAvailable = header["available"]?.integer ?? 0
        isDeletionAllowed = header["deletion"]?.bool ?? false
        let start = stored.count - 64 * list.count
        for (index, item) in list.enumerated() {
            guard let parts = item.array?.compactMap(\.integer), parts.count == 2, start >= 4 else { throw corrupt }
            let material = stored.withBytes { bytes in
                SecretBytes.key(
                    copying: UnsafeRawBufferPointer(rebasing: bytes[start + 64 * index..<start + 64 * (index + 1)])
                )
            }
            versions[parts[0]] = try Version(
                number: parts[0],
                created: Timestamp(nanoseconds: parts[1]),
                material: SharedSecret(material),
                kind: kind
            )
        }
    }
}

/// `vault:v<number>:<base64>`.
struct VersionedText: Sendable {
    let version: Int64
    let bytes: [UInt8]

    /// - Parameter what: `ciphertext`, `signature` or `hmac`, for the sentence.
    /// - Throws: ``VaultError`` `.badRequest`.
    init(_ text: String, _ what: String) throws(VaultError) {
        guard text.utf8.starts(with: "vault:v".utf8) else { throw .badRequest("invalid \(what): no prefix") }
        let rest = text.utf8.dropFirst(7)
        guard let colon = rest.firstIndex(of: 0x3a) else {
            throw .badRequest("invalid \(what): wrong number of fields")
        }
        let digits = rest[..<colon]
        guard (1...18).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int64(String(decoding: digits, as: UTF8.self))
        else { throw .badRequest("invalid \(what): version number could not be decoded") }
        guard let bytes = Base64.decode(rest[rest.index(after: colon)...]) else {
            throw .badRequest("invalid \(what): could not decode base64")
        }
        version = number
        self.bytes = bytes
    }

    static func text(_ version: Int64, _ bytes: [UInt8]) -> String { "vault:v\(version):" + Base64.encode(bytes) }
}

/// Where the keys of a mount lie in the barrier.
struct TransitPlace: Sendable {
    let mount: Mount

    var parent: [UInt8] { Array("transit/\(mount.id)".utf8) }

    func key(_ name: String) -> BarrierKey { BarrierKey(namespace: .other, parent: parent, name: Array(name.utf8)) }

    func cacheKey(_ name: String) -> [UInt8] { parent + [0x2f] + Array(name.utf8) }
}
