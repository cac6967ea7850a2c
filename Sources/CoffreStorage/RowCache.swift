/// Rows that were read lately, as ciphertext. Bounded in bytes; when it is full it starts anew.
struct RowCache {
    /// What the rows together may take, in bytes: 4 MiB.
    static let maximumBytes = 4_194_304
    /// Larger rows are not kept.
    static let maximumRowBytes = 16_384

    private var rows: [RowAddress: StoredRow] = [:]
    private var bytes = 0

    subscript(address: RowAddress) -> StoredRow? { rows[address] }

    mutating func insert(_ row: StoredRow, at address: RowAddress) {
        let size = Self.size(row)
        guard size <= Self.maximumRowBytes else { return }
        if bytes + size > Self.maximumBytes {
            rows.removeAll(keepingCapacity: true)
            bytes = 0
        }
        remove(address)
        rows[address] = row
        bytes += size
    }

    mutating func remove(_ address: RowAddress) {
        if let old = rows.removeValue(forKey: address) { bytes -= Self.size(old) }
    }

    // The arrays' own overhead counts.
    private static func size(_ row: StoredRow) -> Int { row.label.count + row.value.count + 128 }
}
