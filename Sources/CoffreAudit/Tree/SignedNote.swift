internal import CoffreCrypto

/// An Ed25519 public key with its name, as C2SP signed-note writes it: `<name>+<hex key id>+<base64(0x01 ‖ key)>`.
struct NoteVerifierKey: Sendable, Equatable {
    let name: String
    /// 32 bytes.
    let publicKey: [UInt8]

    /// First four bytes of `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key)`.
    var keyID: [UInt8] { Array(SHA256.hash(Array(name.utf8) + [0x0a, 0x01] + publicKey).bytes.prefix(4)) }

    var text: String { "\(name)+\(Hex.encode(keyID))+\(Base64.encode([0x01] + publicKey))" }

    init(name: String, publicKey: [UInt8]) {
        self.name = name
        self.publicKey = publicKey
    }

    /// Strict: nil when a part is missing, the id is another key's, or the text is not what ``text`` writes.
    init?(_ text: String) {
        let parts = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, NoteVerifierKey.isValidName(String(parts[0])),
            let key = StrictBase64.decode(Array(parts[2].utf8)), key.count == 33, key[0] == 0x01
        else { return nil }
        name = String(parts[0])
        publicKey = Array(key.dropFirst())
        guard Array(self.text.utf8) == Array(text.utf8) else { return nil }
    }

    /// 1 to 220 printable ASCII characters, no space, no `+`.
    static func isValidName(_ name: String) -> Bool {
        (1...220).contains(name.utf8.count) && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x2b }
    }
}

/// A text with signatures under it (C2SP signed-note): text, empty line, one line per signature.
enum SignedNote {
    private static let dash: [UInt8] = [0xe2, 0x80, 0x94, 0x20]  // U+2014 and a space
    /// Signature lines that a reader looks at.
    private static let maximumSignatures = 16

    /// - Parameter text: ends with a line feed.
    static func sign(_ text: [UInt8], with keys: [(name: String, key: SigningKey)]) -> [UInt8] {
        var note = text + [0x0a]
        for (name, key) in keys {
            let id = NoteVerifierKey(name: name, publicKey: key.publicKey).keyID
            note += dash + Array(name.utf8) + [0x20] + Array(Base64.encode(id + key.sign(text)).utf8) + [0x0a]
        }
        return note
    }

    /// The text of `note` when every key of `keys` has signed it. Nil otherwise.
    /// - Parameter others: whether signatures of other keys may stand there too, as C2SP allows. The log's own files have
    ///   none, and a line that no verifier checks would be one in which anything may be written.
    static func open(_ note: [UInt8], keys: [NoteVerifierKey], others: Bool = false) -> [UInt8]? {
        guard note.last == 0x0a, let split = lastEmptyLine(note) else { return nil }
        let text = Array(note[...split])
        let lines = note[(split + 2)...].split(separator: 0x0a, omittingEmptySubsequences: false).dropLast()
        guard !lines.isEmpty, lines.count <= maximumSignatures else { return nil }
        var pending = keys
        for line in lines {
            guard line.starts(with: dash), let space = line.lastIndex(of: 0x20), space > line.startIndex + 3,
                let blob = StrictBase64.decode(line[(space + 1)...]), blob.count > 4
            else { return nil }
            let name = line[(line.startIndex + 4)..<max(space, line.startIndex + 4)]
            guard let index = pending.firstIndex(where: { name.elementsEqual($0.name.utf8) }),
                blob.prefix(4).elementsEqual(pending[index].keyID)
            else {
                if others { continue }
                return nil
            }
            let signature = Array(blob.dropFirst(4))
            guard SigningKey.isValid(signature, over: text, publicKey: pending[index].publicKey) else { return nil }
            pending.remove(at: index)
        }
        return pending.isEmpty ? text : nil
    }

    /// Index of the line feed that ends the text, before the empty line.
    private static func lastEmptyLine(_ note: [UInt8]) -> Int? {
        guard note.count >= 3 else { return nil }
        return (0..<(note.count - 1)).last { note[$0] == 0x0a && note[$0 + 1] == 0x0a }
    }
}
