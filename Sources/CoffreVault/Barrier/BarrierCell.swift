package import CoffreCrypto
package import CoffreStorage

/// What a ciphertext is bound to: it opens here and nowhere else.
package struct BarrierPlace: Sendable {
    /// Which cell of a row.
    package enum Field: UInt8, Sendable {
        /// The name.
        case label = 1
        case value = 2
    }

    /// 16 bytes.
    package let vaultID: [UInt8]
    package let address: StorageAddress
    package let field: Field
    package let version: UInt64

    package init(vaultID: [UInt8], address: StorageAddress, field: Field, version: UInt64) {
        self.vaultID = vaultID
        self.address = address
        self.field = field
        self.version = version
    }

    package static let aadBytes = 63

    /// Lends the AAD: vault id(16) ‖ namespace(1) ‖ field(1) ‖ parent hash(16) ‖ name hash(16) ‖ row version(8, BE) ‖
    /// format(1) ‖ term(4, BE).
    package func withAAD<R, E: Error>(
        term: UInt32,
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        var aad = OctetBuffer64()
        aad.append(vaultID)
        aad.append(address.namespace)
        aad.append(field.rawValue)
        address.parent.withUnsafeBytes { aad.append($0) }
        address.name.withUnsafeBytes { aad.append($0) }
        withUnsafeBytes(of: version.bigEndian) { aad.append($0) }
        aad.append(BarrierCell.format)
        withUnsafeBytes(of: term.bigEndian) { aad.append($0) }
        return try aad.withBytes(body)
    }
}

/// The bytes of one cell: format(1) ‖ term(4, BE) ‖ nonce(12) ‖ ciphertext ‖ tag(16), AES-256-GCM (SP 800-38D).
package struct BarrierCell: Sendable, Equatable {
    package static let format: UInt8 = 1
    package static let headBytes = 17
    /// Of an empty value: head, smallest bucket, tag.
    package static let smallestBytes = headBytes + BarrierPadding.smallestBytes + AESGCM.tagBytes

    package let term: UInt32
    /// 12 bytes.
    package let nonce: [UInt8]
    /// Ciphertext ‖ tag.
    package let sealed: [UInt8]

    /// Splits a cell; nil when its format is unknown or its length is not one of a bucket.
    package init?(decoding bytes: [UInt8]) {
        guard Self.isWellFormed(bytes) else { return nil }
        term = Self.term(of: bytes)
        nonce = Array(bytes[5..<17])
        sealed = Array(bytes[17...])
    }

    package var encoded: [UInt8] {
        [Self.format] + withUnsafeBytes(of: term.bigEndian) { Array($0) } + nonce + sealed
    }

    private static func isWellFormed(_ bytes: [UInt8]) -> Bool {
        guard bytes.count >= smallestBytes, bytes[0] == format else { return false }
        let padded = bytes.count - headBytes - AESGCM.tagBytes
        return padded == BarrierPadding.paddedCount(padded - BarrierPadding.lengthBytes)
    }

    private static func term(of bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBytes { UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 1, as: UInt32.self)) }
    }

    /// The term of a well-formed cell; nil for any other bytes.
    package static func term(ofCell bytes: [UInt8]) -> UInt32? { isWellFormed(bytes) ? term(of: bytes) : nil }

    /// Encrypts `plaintext` for `place`.
    ///
    /// - Parameter nonce: 12 bytes, never used twice under `cipher`; a random one by default.
    /// - Throws: ``CryptoError`` when libcrypto fails, which correct calls never see.
    package static func encrypt(
        _ plaintext: UnsafeRawBufferPointer,
        for place: BarrierPlace,
        term: UInt32,
        cipher: AESGCM,
        nonce: [UInt8]? = nil
    ) throws(CryptoError) -> [UInt8] {
        let count = BarrierPadding.paddedCount(plaintext.count)
        let padded = SecretBytes(count: count) { BarrierPadding.pad(plaintext, into: $0) }
        var cell = [UInt8](repeating: 0, count: headBytes + count + AESGCM.tagBytes)
        try cell.withMutableOctets { cell throws(CryptoError) in
            cell[0] = format
            withUnsafeBytes(of: term.bigEndian) { cell[1..<5].copyBytes(from: $0) }
            let head = UnsafeMutableRawBufferPointer(rebasing: cell[5..<17])
            if let nonce { head.copyBytes(from: nonce) } else { Random.fill(head) }
            try padded.withBytes { padded throws(CryptoError) in
                try place.withAAD(term: term) { aad throws(CryptoError) in
                    try cipher.encrypt(
                        padded,
                        nonce: UnsafeRawBufferPointer(head),
                        aad: aad,
                        into: UnsafeMutableRawBufferPointer(rebasing: cell[headBytes...])
                    )
                }
            }
        }
        return cell
    }

    /// Opens a cell that lies at `place`.
    /// - Returns: nil when it is malformed, damaged, of another place or of another key.
    package static func decrypt(_ cell: [UInt8], at place: BarrierPlace, cipher: AESGCM) -> SecretBytes? {
        guard isWellFormed(cell) else { return nil }
        let term = term(of: cell)
        let count = cell.count - headBytes - AESGCM.tagBytes
        let opened = try? SecretBytes(count: count) { target throws(CryptoError) in
            try cell.withOctets { cell throws(CryptoError) in
                try place.withAAD(term: term) { aad throws(CryptoError) in
                    try cipher.decrypt(
                        UnsafeRawBufferPointer(rebasing: cell[headBytes...]),
                        nonce: UnsafeRawBufferPointer(rebasing: cell[5..<17]),
                        aad: aad,
                        into: target
                    )
                }
            }
        }
        guard let opened else { return nil }
        return opened.withBytes { padded in
            BarrierPadding.content(of: padded).map { SecretBytes(copying: $0) }
        }
    }
}
