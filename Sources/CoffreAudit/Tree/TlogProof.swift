package import CoffreCrypto

/// A record's proof in one text, as C2SP tlog-proof@v1 writes it.
package enum TlogProof {
    /// - Parameters:
    ///   - extra: opaque bytes that go with it; nil for none.
    ///   - path: the audit path of leaf `index` (RFC 9162 §2.1.3.1).
    ///   - checkpoint: the signed note whose tree it leads to.
    package static func text(
        extra: [UInt8]? = nil,
        index: UInt64,
        path: [Digest],
        checkpoint: [UInt8]
    ) -> [UInt8] {
        let more = extra.map { "extra \(Base64.encode($0))\n" } ?? ""
        return Array("c2sp.org/tlog-proof@v1\n\(more)index \(index)\n".utf8) + lines(path) + [0x0a] + checkpoint
    }

    /// One hash a line, base64.
    package static func lines(_ hashes: [Digest]) -> [UInt8] {
        hashes.flatMap { Array(Base64.encode($0.bytes).utf8) + [0x0a] }
    }

    /// Strict: the parts of a text that has an `extra` line; nil when ``text(extra:index:path:checkpoint:)`` would not
    /// write it.
    static func parts(_ text: [UInt8]) -> (extra: [UInt8], index: UInt64, path: [Digest], checkpoint: [UInt8])? {
        guard let end = (1..<max(text.count, 1)).first(where: { text[$0 - 1] == 0x0a && text[$0] == 0x0a }) else {
            return nil
        }
        let lines = text[..<(end - 1)].split(separator: 0x0a, omittingEmptySubsequences: false)
        guard lines.count >= 3, lines.count <= 67, lines[1].starts(with: "extra ".utf8),
            let extra = StrictBase64.decode(lines[1].dropFirst(6)), lines[2].starts(with: "index ".utf8),
            let index = UInt64(String(decoding: lines[2].dropFirst(6), as: UTF8.self))
        else { return nil }
        let path = lines[3...].compactMap { StrictBase64.decode($0).flatMap { Digest($0) } }
        let checkpoint = Array(text[(end + 1)...])
        guard self.text(extra: extra, index: index, path: path, checkpoint: checkpoint) == text else { return nil }
        return (extra, index, path, checkpoint)
    }
}
