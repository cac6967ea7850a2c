internal import CoffreCrypto

/// The public key of a witness, as C2SP tlog-cosignature writes it: `<name>+<hex key id>+<base64(0x04 ‖ key)>`.
package struct CosignerKey: Sendable, Equatable {
    /// Algorithm byte of Ed25519 cosignatures.
    private static let algorithm: UInt8 = 0x04

    package let name: String
    /// 32 bytes.
    let publicKey: [UInt8]

    /// First four bytes of `SHA-256(name ‖ 0x0A ‖ 0x04 ‖ key)`.
    var keyID: [UInt8] { Array(SHA256.hash(Array(name.utf8) + [0x0a, Self.algorithm] + publicKey).bytes.prefix(4)) }

    package var text: String { "\(name)+\(Hex.encode(keyID))+\(Base64.encode([Self.algorithm] + publicKey))" }

    /// Strict: nil when a part is missing, the id is another key's, or the text is not what ``text`` writes.
    package init?(_ text: String) {
        let parts = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, NoteVerifierKey.isValidName(String(parts[0])),
            let key = StrictBase64.decode(Array(parts[2].utf8)), key.count == 33, key[0] == Self.algorithm
        else { return nil }
        name = String(parts[0])
        publicKey = Array(key.dropFirst())
        guard Array(self.text.utf8) == Array(text.utf8) else { return nil }
    }

    /// Name of a file for this witness: its name, with what no file name should hold replaced, and its key's id.
    var fileName: String {
        let name = name.utf8.prefix(80).map { byte -> UInt8 in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d: byte
            case 0x2e: 0x2e
            default: 0x5f
            }
        }
        return "w-" + String(decoding: name, as: UTF8.self) + "-" + Hex.encode(keyID)
    }
}

/// What a witness says under a checkpoint: that this was the largest consistent head it knew at a time
/// (C2SP tlog-cosignature, `cosignature/v1`).
struct Cosignature: Sendable, Equatable {
    /// Signature lines that are looked at in one answer; more are refused before any is decoded.
    static let maximumLines = 16
    private static let dash: [UInt8] = [0xe2, 0x80, 0x94, 0x20]  // U+2014 and a space

    /// The signature line, line feed included.
    let line: [UInt8]
    /// Seconds since 1970.
    let time: UInt64

    /// What is signed.
    static func message(_ text: [UInt8], at time: UInt64) -> [UInt8] {
        Array("cosignature/v1\ntime \(time)\n".utf8) + text
    }

    /// The first signature of `key` over `text` among the lines of `body`; lines of other keys are ignored.
    /// - Throws: ``Defect``.
    static func find(in body: [UInt8], by key: CosignerKey, over text: [UInt8]) throws(Defect) -> Cosignature {
        guard body.last == 0x0a else { throw Defect("its answer holds no signature line") }
        guard body.lazy.filter({ $0 == 0x0a }).count <= maximumLines else {
            throw Defect("its answer has more than \(maximumLines) signature lines")
        }
        let name = Array(key.name.utf8)
        for line in body.dropLast().split(separator: 0x0a, omittingEmptySubsequences: false) {
            guard line.starts(with: dash) else { throw Defect("its answer is not signature lines") }
            let rest = line.dropFirst(dash.count)
            guard let space = rest.firstIndex(of: 0x20) else { throw Defect("its answer is not signature lines") }
            guard rest[..<space].elementsEqual(name), let blob = StrictBase64.decode(rest[(space + 1)...]),
                blob.count == 4 + 8 + 64, blob.prefix(4).elementsEqual(key.keyID)
            else { continue }
            let time = blob[4..<12].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard time <= UInt64(Int64.max),
                SigningKey.isValid(Array(blob[12...]), over: message(text, at: time), publicKey: key.publicKey)
            else { throw Defect("its signature is not valid") }
            return Cosignature(line: Array(line) + [0x0a], time: time)
        }
        throw Defect("its answer has no signature of the key in the configuration")
    }

    /// Why an answer proves nothing.
    struct Defect: Error, Equatable {
        let reason: String

        init(_ reason: String) { self.reason = reason }
    }
}
