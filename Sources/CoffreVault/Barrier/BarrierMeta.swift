package import CoffreCrypto

/// What the vault knows about its own rows; rewritten, encrypted, by every transaction.
package struct BarrierMeta: Sendable, Equatable {
    /// One more per group-committed transaction.
    package var generation: UInt64
    /// The last row version handed out.
    package var lastVersion: UInt64
    /// Over all rows except the control rows.
    package var setHash: BarrierSetHash
    /// SHA-256(SHA-256(seal cell) ‖ SHA-256(keyring cell)): an older keyring or seal record put back does not pass.
    package var controlDigest: Digest
    /// Encryptions under the active term so far.
    package var encryptions: UInt64
    /// Rows by the term that encrypted them; ascending, without zeros.
    package var rowsByTerm: [TermCount]

    package struct TermCount: Sendable, Equatable {
        package let term: UInt32
        package var rows: UInt64

        package init(term: UInt32, rows: UInt64) {
            self.term = term
            self.rows = rows
        }
    }

    private static let format: UInt8 = 1
    private static let headBytes = 1 + 8 + 8 + 32 + 32 + 8 + 2
    private static let termBytes = 4 + 8

    package init(
        generation: UInt64,
        lastVersion: UInt64 = 0,
        setHash: BarrierSetHash = .zero,
        controlDigest: Digest,
        encryptions: UInt64 = 0,
        rowsByTerm: [TermCount] = []
    ) {
        self.generation = generation
        self.lastVersion = lastVersion
        self.setHash = setHash
        self.controlDigest = controlDigest
        self.encryptions = encryptions
        self.rowsByTerm = rowsByTerm
    }

    package static func controlDigest(sealCell: [UInt8], keyringCell: [UInt8]) -> Digest {
        var hash = SHA256()
        hash.update(SHA256.hash(sealCell))
        hash.update(SHA256.hash(keyringCell))
        return hash.finish()
    }

    package var rows: UInt64 { rowsByTerm.reduce(0) { $0 + $1.rows } }

    /// Rows that another term than `term` has encrypted.
    func rows(except term: UInt32) -> UInt64 { rowsByTerm.reduce(0) { $1.term == term ? $0 : $0 + $1.rows } }

    func isUnused(_ term: UInt32) -> Bool { !rowsByTerm.contains { $0.term == term } }

    mutating func countRow(_ term: UInt32, added: Bool) {
        if let index = rowsByTerm.firstIndex(where: { $0.term == term }) {
            // A count below zero would mean a row that nobody wrote; the set hash reports that one.
            if added { rowsByTerm[index].rows += 1 } else { rowsByTerm[index].rows -= 1 }
            if rowsByTerm[index].rows == 0 { rowsByTerm.remove(at: index) }
        } else if added {
            let index = rowsByTerm.firstIndex { $0.term > term } ?? rowsByTerm.endIndex
            rowsByTerm.insert(TermCount(term: term, rows: 1), at: index)
        }
    }

    /// format(1) ‖ generation(8) ‖ last version(8) ‖ set hash(32) ‖ control digest(32) ‖ encryptions(8) ‖ count(2) ‖
    /// count × (term(4) ‖ rows(8)), all big-endian.
    package var encoded: [UInt8] {
        var bytes: [UInt8] = [Self.format]
        func append(_ number: some FixedWidthInteger) { withUnsafeBytes(of: number.bigEndian) { bytes += $0 } }
        append(generation)
        append(lastVersion)
        bytes += setHash.digest.bytes
        bytes += controlDigest.bytes
        append(encryptions)
        append(UInt16(rowsByTerm.count))
        for entry in rowsByTerm {
            append(entry.term)
            append(entry.rows)
        }
        return bytes
    }

    /// Reads exactly what `encoded` gives; nil for anything else.
    package init?(decoding bytes: [UInt8]) {
        guard bytes.count >= Self.headBytes, bytes[0] == Self.format else { return nil }
        func number<N: FixedWidthInteger>(_ offset: Int, _: N.Type) -> N {
            bytes.withUnsafeBytes { N(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: N.self)) }
        }
        let count = Int(number(89, UInt16.self))
        guard count <= BarrierKeyring.maximumTerms, bytes.count == Self.headBytes + count * Self.termBytes,
            let setHash = Digest(bytes[17..<49]), let controlDigest = Digest(bytes[49..<81])
        else { return nil }
        var entries: [TermCount] = []
        for index in 0..<count {
            let offset = Self.headBytes + index * Self.termBytes
            let entry = TermCount(term: number(offset, UInt32.self), rows: number(offset + 4, UInt64.self))
            guard entry.term > (entries.last?.term ?? 0), entry.rows > 0 else { return nil }
            entries.append(entry)
        }
        self.init(
            generation: number(1, UInt64.self),
            lastVersion: number(9, UInt64.self),
            setHash: BarrierSetHash(setHash),
            controlDigest: controlDigest,
            encryptions: number(81, UInt64.self),
            rowsByTerm: entries
        )
    }
}
