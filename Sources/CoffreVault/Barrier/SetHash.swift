package import CoffreCrypto
package import CoffreStorage

/// A keyed multiset hash over all rows: the sum modulo 2^256 of an HMAC of each row.
///
/// Order does not matter and a row can be taken out again, so that a transaction updates it at the cost of the rows that
/// it changes. Without the key nobody can build another set with the same sum.
package struct SetHash: Sendable, Equatable {
    // Least significant word first.
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    package init() {}

    /// - Parameter bytes: 32 bytes, big-endian.
    package init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        let bytes = Array(bytes)
        func word(_ index: Int) -> UInt64 { bytes[index * 8..<index * 8 + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        words = (word(3), word(2), word(1), word(0))
    }

    /// 32 bytes, big-endian.
    package var bytes: [UInt8] {
        [words.3, words.2, words.1, words.0].flatMap { word in withUnsafeBytes(of: word.bigEndian) { Array($0) } }
    }

    package mutating func add(_ element: Digest) {
        guard let other = SetHash(element.bytes) else { return }
        var carry = false
        func sum(_ a: UInt64, _ b: UInt64) -> UInt64 {
            let (partial, first) = a.addingReportingOverflow(b)
            let (total, second) = partial.addingReportingOverflow(carry ? 1 : 0)
            carry = first || second
            return total
        }
        words.0 = sum(words.0, other.words.0)
        words.1 = sum(words.1, other.words.1)
        words.2 = sum(words.2, other.words.2)
        words.3 = sum(words.3, other.words.3)
    }

    package mutating func remove(_ element: Digest) {
        guard let other = SetHash(element.bytes) else { return }
        var borrow = false
        func difference(_ a: UInt64, _ b: UInt64) -> UInt64 {
            let (partial, first) = a.subtractingReportingOverflow(b)
            let (total, second) = partial.subtractingReportingOverflow(borrow ? 1 : 0)
            borrow = first || second
            return total
        }
        words.0 = difference(words.0, other.words.0)
        words.1 = difference(words.1, other.words.1)
        words.2 = difference(words.2, other.words.2)
        words.3 = difference(words.3, other.words.3)
    }

    /// `HMAC(K, namespace ‖ parent ‖ name ‖ row version(8, BE) ‖ SHA-256(length of label(4, BE) ‖ label ‖ value))`.
    package static func element(_ address: RowAddress, _ row: StoredRow, key: HMACKey) -> Digest {
        var content = SHA256()
        withUnsafeBytes(of: UInt32(row.label.count).bigEndian) { content.update($0) }
        content.update(row.label)
        content.update(row.value)
        let digest = content.finish()
        return key.authenticate { update in
            address.bytes.withUnsafeBytes { update($0) }
            withUnsafeBytes(of: row.version.bigEndian) { update($0) }
            digest.withUnsafeBytes { update($0) }
        }
    }

    package static func == (left: SetHash, right: SetHash) -> Bool { left.words == right.words }
}
