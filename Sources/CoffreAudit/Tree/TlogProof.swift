package import CoffreCrypto

/// A record's proof in one text, as C2SP tlog-proof@v1 writes it.
package enum TlogProof {
    /// - Parameters:
    ///   - path: the audit path of leaf `index` (RFC 9162 §2.1.3.1).
    ///   - checkpoint: the signed note whose tree it leads to.
    package static func text(index: UInt64, path: [Digest], checkpoint: [UInt8]) -> [UInt8] {
        Array("c2sp.org/tlog-proof@v1\nindex \(index)\n".utf8) + lines(path) + [0x0a] + checkpoint
    }

    /// One hash a line, base64.
    package static func lines(_ hashes: [Digest]) -> [UInt8] {
        hashes.flatMap { Array(Base64.encode($0.bytes).utf8) + [0x0a] }
    }
}
