package import CoffreCrypto

/// Proof that a record is durable: `fdatasync` of its batch has returned.
///
/// Only this module can make one, so a value that demands a receipt cannot exist before its record does.
package struct AuditReceipt: Sendable, Equatable {
    /// The record's sequence number, its leaf index in the tree.
    package let index: UInt64
    /// RFC 6962 leaf hash of the record's line.
    package let leafHash: Digest

    init(index: UInt64, leafHash: Digest) {
        self.index = index
        self.leafHash = leafHash
    }
}
