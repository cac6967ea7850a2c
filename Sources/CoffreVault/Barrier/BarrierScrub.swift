internal import CoffreStorage

/// How far a scrub has come.
package enum BarrierScrubProgress: Sendable, Equatable {
    /// The pass goes on with the next call; so many rows were read so far.
    case running(rows: UInt64)
    /// All rows add up, as of this generation.
    case verified(rows: UInt64, generation: UInt64)
}

/// One pass over all rows that recomputes the set hash while writes go on: a write at or before the cursor changes the sum
/// as well, a write after it will be met.
struct BarrierScrub: Sendable {
    private(set) var cursor: StorageAddress?
    private(set) var sum = BarrierSetHash.zero
    private(set) var rows: UInt64 = 0

    mutating func meet(_ row: StorageRow, _ element: BarrierSetHash) {
        cursor = row.address
        sum += element
        rows += 1
    }

    /// Moves over a control row.
    mutating func pass(_ row: StorageRow) { cursor = row.address }

    mutating func add(_ element: BarrierSetHash, at address: StorageAddress) {
        guard let cursor, address <= cursor else { return }
        sum += element
        rows &+= 1
    }

    mutating func subtract(_ element: BarrierSetHash, at address: StorageAddress) {
        guard let cursor, address <= cursor else { return }
        sum -= element
        rows &-= 1  // wraps only for a row that appeared from outside, which the sum reports
    }
}

/// One pass over all rows that brings them under the active term.
struct BarrierReencryption: Sendable {
    var cursor: StorageAddress?
    /// The first row of this pass that did not open.
    var damaged: StorageAddress?
}
