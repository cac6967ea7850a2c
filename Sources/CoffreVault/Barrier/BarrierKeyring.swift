package import CoffreCrypto
package import CoffreStorage

/// The data keys of a vault: one per term, the address key and the set hash key, which do not rotate.
///
/// Immutable: a rotation makes another keyring. Its keys are wiped with the last reference.
package final class BarrierKeyring: Sendable {
    package struct Term: Sendable {
        package let number: UInt32
        /// Unix time in seconds.
        package let createdAt: UInt64
        let secret: SharedSecret
        let cipher: AESGCM

        init(number: UInt32, createdAt: UInt64, secret: consuming SecretBytes) throws(CryptoError) {
            self.number = number
            self.createdAt = createdAt
            self.cipher = try AESGCM(key: secret)
            self.secret = SharedSecret(secret)
        }
    }

    /// Terms that may be in use at once.
    package static let maximumTerms = 64
    private static let format: UInt8 = 1
    private static let headBytes = 1 + 32 + 32 + 2
    private static let termBytes = 4 + 8 + 32

    private let addressSecret: SharedSecret
    private let setSecret: SharedSecret
    private let addressKey: HMACKey
    /// Keys the set hash.
    package let setKey: HMACKey
    /// Ascending; never empty.
    package let terms: [Term]

    /// The term that encrypts.
    package var active: Term { terms[terms.count - 1] }

    private init(addressSecret: SharedSecret, setSecret: SharedSecret, terms: [Term]) {
        self.addressSecret = addressSecret
        self.setSecret = setSecret
        self.terms = terms
        addressKey = addressSecret.withSecret { HMACKey($0) }
        setKey = setSecret.withSecret { HMACKey($0) }
    }

    private init(_ other: BarrierKeyring, terms: [Term]) {
        addressSecret = other.addressSecret
        setSecret = other.setSecret
        addressKey = other.addressKey
        setKey = other.setKey
        self.terms = terms
    }

    /// A fresh keyring with term 1.
    package convenience init(createdAt: UInt64) throws(CryptoError) {
        self.init(
            addressSecret: SharedSecret(SecretBytes.randomKey(count: 32)),
            setSecret: SharedSecret(SecretBytes.randomKey(count: 32)),
            terms: [try Term(number: 1, createdAt: createdAt, secret: SecretBytes.randomKey(count: 32))]
        )
    }

    /// This keyring with one more term, which encrypts from now on.
    func addingTerm(createdAt: UInt64) throws(CryptoError) -> BarrierKeyring {
        let term = try Term(number: active.number + 1, createdAt: createdAt, secret: SecretBytes.randomKey(count: 32))
        return BarrierKeyring(self, terms: terms + [term])
    }

    /// This keyring without the terms for which `isUnused`; the active one always stays.
    func removingTerms(where isUnused: (UInt32) -> Bool) -> BarrierKeyring {
        let active = active.number
        return BarrierKeyring(self, terms: terms.filter { $0.number == active || !isUnused($0.number) })
    }

    /// The cipher of `term`; nil when the term has been erased or is not known yet.
    func cipher(of term: UInt32) -> AESGCM? {
        for known in terms.reversed() where known.number == term { return known.cipher }
        return nil
    }

    // MARK: Addresses

    /// HMAC-SHA-256(address key, 1 ‖ namespace(1) ‖ parent), the first 16 bytes.
    package func parentHash(_ namespace: StorageNamespace, _ parent: [UInt8]) -> StorageHash {
        let digest = addressKey.authenticate { update in
            withUnsafeBytes(of: (UInt8(1), namespace.rawValue)) { update($0) }
            parent.withUnsafeBytes { update($0) }
        }
        return digest.withUnsafeBytes { StorageHash(prefixOf: $0) }
    }

    /// The address of `key`; its name hash is HMAC-SHA-256(address key, 2 ‖ namespace(1) ‖ parent hash(16) ‖ name), the
    /// first 16 bytes, so that one name in two folders has two hashes.
    package func address(of key: BarrierKey) -> StorageAddress {
        let parent = parentHash(key.namespace, key.parent)
        let digest = addressKey.authenticate { update in
            withUnsafeBytes(of: (UInt8(2), key.namespace.rawValue)) { update($0) }
            parent.withUnsafeBytes { update($0) }
            key.name.withUnsafeBytes { update($0) }
        }
        return StorageAddress(
            namespace: key.namespace.rawValue,
            parent: parent,
            name: digest.withUnsafeBytes { StorageHash(prefixOf: $0) }
        )
    }

    // MARK: Codec

    /// format(1) ‖ address key(32) ‖ set hash key(32) ‖ count(2, BE) ‖ count × (term(4, BE) ‖ created at(8, BE) ‖ key(32)).
    package func encoded() -> SecretBytes {
        SecretBytes.key(count: Self.headBytes + terms.count * Self.termBytes) { target in
            target[0] = Self.format
            addressSecret.withBytes { target[1..<33].copyBytes(from: $0) }
            setSecret.withBytes { target[33..<65].copyBytes(from: $0) }
            withUnsafeBytes(of: UInt16(terms.count).bigEndian) { target[65..<67].copyBytes(from: $0) }
            var offset = Self.headBytes
            for term in terms {
                withUnsafeBytes(of: term.number.bigEndian) { target[offset..<offset + 4].copyBytes(from: $0) }
                withUnsafeBytes(of: term.createdAt.bigEndian) { target[offset + 4..<offset + 12].copyBytes(from: $0) }
                term.secret.withBytes { target[offset + 12..<offset + 44].copyBytes(from: $0) }
                offset += Self.termBytes
            }
        }
    }

    /// Reads exactly what `encoded()` writes; nil for anything else.
    package convenience init?(decoding bytes: UnsafeRawBufferPointer) {
        guard bytes.count > Self.headBytes, bytes[0] == Self.format else { return nil }
        func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
        let count = Int(bytes[65]) << 8 | Int(bytes[66])
        guard (1...Self.maximumTerms).contains(count), bytes.count == Self.headBytes + count * Self.termBytes
        else { return nil }
        var terms: [Term] = []
        for index in 0..<count {
            let offset = Self.headBytes + index * Self.termBytes
            let number = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            let createdAt = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt64.self))
            guard number > (terms.last?.number ?? 0),
                let term = try? Term(
                    number: number,
                    createdAt: createdAt,
                    secret: SecretBytes.key(copying: part(offset + 12..<offset + 44))
                )
            else { return nil }
            terms.append(term)
        }
        self.init(
            addressSecret: SharedSecret(SecretBytes.key(copying: part(1..<33))),
            setSecret: SharedSecret(SecretBytes.key(copying: part(33..<65))),
            terms: terms
        )
    }
}
