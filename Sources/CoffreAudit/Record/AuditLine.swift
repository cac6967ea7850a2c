package import CoffreCrypto

/// One line of the log, outside any log: for vectors, and for readers that get single lines.
package enum AuditLine {
    /// The line of `draft`, without its line feed.
    /// - Parameters:
    ///   - sequence: its number.
    ///   - previous: leaf hash of the record before; ``Digest/zero`` for record 0.
    ///   - digestKey: keys the digests that stand for values over their limit.
    /// - Throws: ``AuditError`` `.invalidRecord`.
    package static func encode(
        _ draft: AuditDraft,
        sequence: UInt64,
        previous: Digest,
        clock: any LogClock,
        digestKey: HMACKey
    ) throws(AuditError) -> [UInt8] {
        if let defect = LineEncoder.defect(of: draft) { throw .invalidRecord(reason: defect) }
        var buffer = ByteBuffer(capacity: 1024)
        let encoder = LineEncoder(digestKey: digestKey)
        _ = try encoder.append(draft, sequence: sequence, previous: previous, at: BatchTime(clock), to: &buffer)
        return Array(buffer.bytes)
    }

    /// Why `line` is not a record in the strict form, nil when it is one. Says nothing of its place in a chain.
    package static func defect(in line: [UInt8]) -> String? {
        var form = RecordForm()
        return line.withUnsafeBytes { form.read($0) }
    }

    /// RFC 6962 leaf hash of a line.
    package static func leafHash(of line: [UInt8]) -> Digest { line.withUnsafeBytes { TreeHash.leaf($0) } }
}
