internal import CoffreCrypto
package import CoffreStorage

/// The three rows of namespace 0 that make a vault: seal record, keyring, meta. They stand outside the set hash.
package enum BarrierControl {
    package static let namespace: UInt8 = 0
    package static let seal = address("coffre/seal/1...")
    package static let keyring = address("coffre/keyring/1")
    package static let meta = address("coffre/meta/1...")

    private static func address(_ name: String) -> StorageAddress {
        guard let name = StorageHash(Array(name.utf8)) else { preconditionFailure("a control name has 16 bytes") }
        return StorageAddress(namespace: namespace, parent: .zero, name: name)
    }

    static func row(_ address: StorageAddress, version: UInt64, value: [UInt8]) -> StorageRow {
        StorageRow(address: address, version: version, label: [], value: value)
    }

    /// The cipher that wraps the keyring: HKDF-Expand(root key, "coffre keyring wrap v1"). Its cells have term 0.
    static func keyringCipher(_ rootKey: borrowing SecretBytes) throws(CryptoError) -> AESGCM {
        try AESGCM(key: KeyDerivation.subkey(from: rootKey, context: "coffre keyring wrap v1"))
    }

    static func wrap(
        _ keyring: BarrierKeyring,
        rootKey: borrowing SecretBytes,
        vaultID: [UInt8],
        version: UInt64
    ) throws(CryptoError) -> [UInt8] {
        let place = BarrierPlace(vaultID: vaultID, address: Self.keyring, field: .value, version: version)
        let cipher = try keyringCipher(rootKey)
        let plain = keyring.encoded()
        return try plain.withBytes { plain throws(CryptoError) in
            try BarrierCell.encrypt(plain, for: place, term: 0, cipher: cipher)
        }
    }

    /// The rows of a new vault: generation 1, no other rows.
    static func genesis(
        vaultID: [UInt8],
        rootKey: borrowing SecretBytes,
        sealCell: [UInt8],
        createdAt: UInt64
    ) throws(CryptoError) -> [StorageRow] {
        let keyring = try BarrierKeyring(createdAt: createdAt)
        let keyringCell = try wrap(keyring, rootKey: rootKey, vaultID: vaultID, version: 1)
        let meta = BarrierMeta(
            generation: 1,
            controlDigest: BarrierMeta.controlDigest(sealCell: sealCell, keyringCell: keyringCell),
            encryptions: 1
        )
        return [
            row(seal, version: 1, value: sealCell),
            row(Self.keyring, version: 1, value: keyringCell),
            try metaRow(meta, keyring: keyring, vaultID: vaultID),
        ]
    }

    static func metaRow(
        _ meta: BarrierMeta,
        keyring: BarrierKeyring,
        vaultID: [UInt8]
    ) throws(CryptoError) -> StorageRow {
        let place = BarrierPlace(vaultID: vaultID, address: Self.meta, field: .value, version: meta.generation)
        let term = keyring.active
        let cell = try meta.encoded.withOctets { plain throws(CryptoError) in
            try BarrierCell.encrypt(plain, for: place, term: term.number, cipher: term.cipher)
        }
        return row(Self.meta, version: meta.generation, value: cell)
    }
}

extension StorageAddress {
    /// Hex of namespace, parent hash and name hash: safe to show, it names nothing.
    package var hex: String { Hex.encode([namespace] + parent.bytes + name.bytes) }
}
