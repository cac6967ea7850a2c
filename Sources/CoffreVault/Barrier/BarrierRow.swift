package import CoffreCrypto
package import CoffreStorage

/// The form of one encrypted cell.
///
/// `cell = format(1) ‖ term(4, BE) ‖ nonce(12) ‖ ciphertext ‖ tag(16)`, AES-256-GCM. The associated data binds it to its
/// place: `vault id(16) ‖ namespace(1) ‖ field(1) ‖ parent hash(16) ‖ name hash(16) ‖ row version(8, BE) ‖ format(1) ‖
/// term(4, BE)`. Plaintext = `length(4, BE) ‖ bytes ‖ zero padding` up to a size bucket.
package enum BarrierRow {
    package static let format: UInt8 = 1
    package static let headerBytes = 1 + 4 + AESGCM.nonceBytes
    package static let overheadBytes = headerBytes + AESGCM.tagBytes

    package enum Field: UInt8 {
        case label = 0
        case value = 1
    }

    /// Powers of two from 32 bytes to 4 KiB, then multiples of 4 KiB; the length prefix counts.
    package static func bucket(_ count: Int) -> Int {
        let needed = count + 4
        if needed > 4096 { return (needed + 4095) / 4096 * 4096 }
        var size = 32
        while size < needed { size *= 2 }
        return size
    }

    /// 63 bytes.
    package static func associatedData(
        vault: [UInt8],
        field: Field,
        address: RowAddress,
        version: UInt64,
        format: UInt8,
        term: UInt32
    ) -> [UInt8] {
        var data: [UInt8] = []
        data.reserveCapacity(63)
        data.append(contentsOf: vault)
        data.append(address.namespace)
        data.append(field.rawValue)
        for word in [address.parent.high, address.parent.low, address.name.high, address.name.low, version] {
            withUnsafeBytes(of: word.bigEndian) { data.append(contentsOf: $0) }
        }
        data.append(format)
        withUnsafeBytes(of: term.bigEndian) { data.append(contentsOf: $0) }
        return data
    }

    /// - Throws: ``BarrierError`` `.corrupt` when the library fails.
    package static func encrypt(
        _ plaintext: UnsafeRawBufferPointer,
        under key: AESGCM,
        term: UInt32,
        vault: [UInt8],
        field: Field,
        address: RowAddress,
        version: UInt64,
        nonce: [UInt8] = Random.bytes(AESGCM.nonceBytes)
    ) throws(BarrierError) -> [UInt8] {
        let size = bucket(plaintext.count)
        let aad = associatedData(
            vault: vault,
            field: field,
            address: address,
            version: version,
            format: format,
            term: term
        )
        var cell = [UInt8](repeating: 0, count: headerBytes + size + AESGCM.tagBytes)
        cell[0] = format
        withUnsafeBytes(of: term.bigEndian) { source in
            for index in 0..<4 { cell[1 + index] = source[index] }
        }
        for (index, byte) in nonce.enumerated() { cell[5 + index] = byte }
        let padded = SecretBytes(count: size) { target in
            withUnsafeBytes(of: UInt32(plaintext.count).bigEndian) { target.copyMemory(from: $0) }
            UnsafeMutableRawBufferPointer(rebasing: target[4...]).copyMemory(from: plaintext)
            for index in 4 + plaintext.count..<size { target[index] = 0 }
        }
        do throws(CryptoError) {
            try padded.withBytes { padded throws(CryptoError) in
                try cell.withRaw { cell throws(CryptoError) in
                    try aad.withRawBytes { aad throws(CryptoError) in
                        try key.encrypt(
                            padded,
                            nonce: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(cell)[5..<headerBytes]),
                            aad: aad,
                            into: UnsafeMutableRawBufferPointer(rebasing: cell[headerBytes...])
                        )
                    }
                }
            }
        } catch {
            throw BarrierError(.corrupt, "a row cannot be encrypted: \(error.message)")
        }
        return cell
    }

    /// The term that a cell was made under.
    /// - Throws: ``BarrierError`` `.corrupt` for anything that is not a cell.
    package static func term(of cell: [UInt8]) throws(BarrierError) -> UInt32 {
        guard cell.count >= overheadBytes + 32, cell[0] == format else {
            throw BarrierError(.corrupt, "a row of the database has no valid form")
        }
        return cell[1..<5].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// - Throws: ``BarrierError`` `.corrupt` when the cell is damaged or lies in the wrong place.
    package static func decrypt(
        _ cell: [UInt8],
        under key: AESGCM,
        vault: [UInt8],
        field: Field,
        address: RowAddress,
        version: UInt64
    ) throws(BarrierError) -> SharedSecret {
        let term = try term(of: cell)
        let aad = associatedData(
            vault: vault,
            field: field,
            address: address,
            version: version,
            format: cell[0],
            term: term
        )
        let size = cell.count - overheadBytes
        do throws(CryptoError) {
            let padded = try SecretBytes(count: size) { target throws(CryptoError) in
                try cell.withRawBytes { cell throws(CryptoError) in
                    try aad.withRawBytes { aad throws(CryptoError) in
                        try key.decrypt(
                            UnsafeRawBufferPointer(rebasing: cell[headerBytes...]),
                            nonce: UnsafeRawBufferPointer(rebasing: cell[5..<headerBytes]),
                            aad: aad,
                            into: target
                        )
                    }
                }
            }
            let count = try padded.withBytes { padded throws(CryptoError) in
                let count = Int(UInt32(bigEndian: padded.loadUnaligned(as: UInt32.self)))
                guard count + 4 <= size, bucket(count) == size, padded[(4 + count)...].allSatisfy({ $0 == 0 }) else {
                    throw CryptoError(.invalidLength, "padding")
                }
                return count
            }
            return SharedSecret(padded, range: 4..<4 + count)
        } catch {
            let place = "\(address.namespace)/" + Hex.encode(address.name.bytes)
            throw BarrierError(.corrupt, "the row \(place) of the database is damaged or was moved: restore a backup")
        }
    }
}

extension [UInt8] {
    func withRawBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        let result: Result<R, E> = withUnsafeBytes { buffer in
            do throws(E) { return .success(try body(buffer)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    mutating func withRaw<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
        let result: Result<R, E> = withUnsafeMutableBytes { buffer in
            do throws(E) { return .success(try body(buffer)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
