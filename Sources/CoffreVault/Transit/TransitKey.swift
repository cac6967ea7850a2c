package import CoffreCrypto
package import CoffreWire

/// A named key of a transit mount: what it may do, and the secrets of all of its versions.
package struct TransitKey: Sendable {
    /// By the names that clients use.
    package enum Kind: String, Sendable {
        case aes = "aes256-gcm96"
        case ed25519
        case hmac

        var encrypts: Bool { self == .aes }
        var signs: Bool { self == .ed25519 }
    }

    /// Versions that are kept at most; older ones must be trimmed first.
    package static let maximumVersions = 4096

    let kind: Kind
    /// Bytes of each version of an `hmac` key, 32...512; 0 for others.
    let keySize: Int
    /// Number of the oldest version that is still here.
    private(set) var first: Int64 = 1
    /// When each version was made, oldest first.
    package private(set) var created: [Timestamp] = []
    /// The versions' secrets one after the other, in guarded pages; ``stride`` bytes each.
    private(set) var material = SharedSecret(SecretBytes.key(count: 0) { _ in })
    /// Oldest version that may decrypt and verify, from 1.
    package var minimumDecryption: Int64 = 1
    /// 0 means the latest only by default, any that can decrypt on request.
    package var minimumEncryption: Int64 = 0
    private(set) var minimumAvailable: Int64 = 0
    var isDeletable = false
    /// Version of the row that holds this; 0 before the first write. Not stored.
    var rowVersion: UInt64 = 0

    /// Number of the newest version.
    package var latest: Int64 { first + Int64(created.count) - 1 }

    /// A new key with its first version.
    /// - Parameter keySize: bytes of an `hmac` key, 32...512; 0 for others.
    package init(_ kind: Kind, keySize: Int, at now: Timestamp) {
        self.kind = kind
        self.keySize = keySize
        appendVersion(at: now)
    }

    /// Adds a random version, from now on the latest.
    package mutating func appendVersion(at now: Timestamp) {
        let (old, length, kind) = (material, stride, kind)
        material = SharedSecret(
            SecretBytes.key(count: old.count + length) { target in
                old.withBytes { target.copyMemory(from: $0) }
                let version = UnsafeMutableRawBufferPointer(rebasing: target[old.count...])
                Random.fill(version)
                if kind == .ed25519 {
                    let pair = SigningKey()
                    pair.withSeed { version.copyMemory(from: $0) }
                    UnsafeMutableRawBufferPointer(rebasing: version[32...]).copyBytes(from: pair.publicKey)
                }
            }
        )
        created.append(now)
    }

    /// Erases every version below `version`.
    package mutating func trim(below version: Int64) {
        minimumAvailable = version
        let count = Int(min(max(version - first, 0), Int64(created.count) - 1))
        guard count > 0 else { return }
        let dropped = count * stride
        material = material.withBytes { bytes in
            SharedSecret(SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: bytes[dropped...])))
        }
        created.removeFirst(count)
        first += Int64(count)
    }

    // MARK: secrets of a version

    /// Part of a version's secret.
    enum Part {
        /// 32 bytes of an AES key, the 32-byte seed of an Ed25519 pair.
        case secret
        /// The 32 public bytes of an Ed25519 pair.
        case publicKey
        /// What `hmac/` uses: 32 bytes beside the key proper, or the key itself of an `hmac` key.
        case hmac
    }

    private var stride: Int {
        switch kind {
        case .aes: 64
        case .ed25519: 96
        case .hmac: keySize
        }
    }

    /// Lends a part of `version`; nil when there is no such version.
    func withBytes<R>(_ part: Part, of version: Int64, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R? {
        guard version >= first, version <= latest else { return nil }
        let start = Int(version - first) * stride
        let range: Range<Int>
        switch (part, kind) {
        case (.secret, .hmac), (.hmac, .hmac): range = start..<start + keySize
        case (.secret, _): range = start..<start + 32
        case (.publicKey, .ed25519): range = start + 32..<start + 64
        case (.publicKey, _): return nil
        case (.hmac, .aes): range = start + 32..<start + 64
        case (.hmac, .ed25519): range = start + 64..<start + 96
        }
        return try material.withBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// 32 bytes; nil for a key that has none.
    func publicKey(_ version: Int64) -> [UInt8]? { withBytes(.publicKey, of: version) { Array($0) } }

    // MARK: wire form

    /// What `keys/<name>` shows.
    package func json(name: String) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("allow_plaintext_backup", .bool(false)), .init("auto_rotate_period", .integer(0)),
            .init("deletion_allowed", .bool(isDeletable)), .init("derived", .bool(false)),
            .init("exportable", .bool(false)), .init("imported_key", .bool(false)),
        ]
        if kind == .hmac {
            members.append(.init("key_size", .integer(keySize)))
        } else {
            members.append(.init("keys", .object((max(first, minimumDecryption)...latest).map { describe($0) })))
        }
        members += [
            .init("latest_version", .integer(latest)), .init("min_available_version", .integer(minimumAvailable)),
            .init("min_decryption_version", .integer(minimumDecryption)),
            .init("min_encryption_version", .integer(minimumEncryption)), .init("name", .string(name)),
            .init("soft_deleted", .bool(false)), .init("supports_decryption", .bool(kind.encrypts)),
            .init("supports_derivation", .bool(false)), .init("supports_encryption", .bool(kind.encrypts)),
            .init("supports_signing", .bool(kind.signs)), .init("type", .string(kind.rawValue)),
        ]
        return .object(members)
    }

    private func describe(_ version: Int64) -> JSONValue.Member {
        let made = created[Int(version - first)]
        guard let publicKey = publicKey(version) else { return .init(String(version), .integer(made.seconds)) }
        let description: JSONValue = [
            "certificate_chain": .string(""), "creation_time": .string(made.rfc3339), "name": .string(kind.rawValue),
            "public_key": .string(Base64.encode(publicKey)),
        ]
        return .init(String(version), description)
    }

    // MARK: storage form

    private static let format: UInt8 = 1

    /// `format(1) ‖ length of header(4, BE) ‖ header, JSON ‖ material`.
    package var encoded: SharedSecret {
        let header = JSONValue.object([
            "type": .string(kind.rawValue), "size": .integer(keySize), "first": .integer(first),
            "created": .array(created.map { .integer($0.nanoseconds) }), "decrypt": .integer(minimumDecryption),
            "encrypt": .integer(minimumEncryption), "available": .integer(minimumAvailable),
            "deletable": .bool(isDeletable),
        ]).encoded()
        let start = 5 + header.count
        return SharedSecret(
            SecretBytes(count: start + material.count) { target in
                target[0] = Self.format
                target.storeBytes(of: UInt32(header.count).bigEndian, toByteOffset: 1, as: UInt32.self)
                UnsafeMutableRawBufferPointer(rebasing: target[5...]).copyBytes(from: header)
                material.withBytes { UnsafeMutableRawBufferPointer(rebasing: target[start...]).copyMemory(from: $0) }
            }
        )
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    package init(decoding stored: SharedSecret, rowVersion: UInt64) throws(VaultError) {
        let corrupt = VaultError(.storageCorrupt, "a transit key cannot be read")
        let parsed = stored.withBytes { bytes -> (JSONValue, SharedSecret)? in
            guard bytes.count > 5, bytes[0] == Self.format else { return nil }
            let length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
            guard length <= bytes.count - 5, let header = try? JSONValue(parsing: bytes[5..<5 + length]) else {
                return nil
            }
            let secrets = SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: bytes[(5 + length)...]))
            return (header, SharedSecret(secrets))
        }
        guard case (let header, let secrets)? = parsed else { throw corrupt }
        guard let kind = header["type"]?.string.flatMap({ Kind(rawValue: $0) }),
            let size = header["size"]?.integer, (0...512).contains(size),
            let first = header["first"]?.integer, (1..<1 << 40).contains(first),
            let created = header["created"]?.array?.compactMap(\.integer), !created.isEmpty,
            let decrypt = header["decrypt"]?.integer, let encrypt = header["encrypt"]?.integer,
            let available = header["available"]?.integer, let isDeletable = header["deletable"]?.bool
        else { throw corrupt }
        self.kind = kind
        keySize = Int(size)
        self.first = first
        self.created = created.map { Timestamp(nanoseconds: $0) }
        material = secrets
        minimumDecryption = decrypt
        minimumEncryption = encrypt
        minimumAvailable = available
        self.isDeletable = isDeletable
        self.rowVersion = rowVersion
        guard stride > 0, material.count == created.count * stride, (1...latest).contains(decrypt),
            (0...latest).contains(encrypt), available <= decrypt
        else { throw corrupt }
    }
}

/// Where a transit key lies.
struct TransitPlace: Sendable {
    let mount: Mount
    /// Of the characters that ``isName(_:)`` allows.
    let name: String

    static func parent(_ mount: Mount) -> [UInt8] { Array(mount.id.utf8) }

    var row: BarrierKey {
        BarrierKey(namespace: .transit, parent: Self.parent(mount), name: Array(name.utf8))
    }

    var lock: [UInt8] { Array("transit/\(mount.id)/\(name)".utf8) }

    /// Letters, digits, `_`, and inside also `.` and `-`; 128 bytes at most.
    static func isName(_ name: String) -> Bool {
        func isWord(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f: true
            default: false
            }
        }
        guard let start = name.utf8.first, let end = name.utf8.last, name.utf8.count <= 128 else { return false }
        return isWord(start) && isWord(end) && name.utf8.allSatisfy { isWord($0) || $0 == 0x2d || $0 == 0x2e }
    }
}
