internal import CoffreCrypto

/// A log's name and public keys: what `log.vkey` says, and what a verifier should know from elsewhere.
struct LogIdentity: Sendable, Equatable {
    static let path = "log.vkey"

    let stable: NoteVerifierKey
    let epoch: NoteVerifierKey

    var origin: String { stable.name }

    /// Key name of an epoch: `NAME/epoch-000012`.
    static func epochName(_ origin: String, _ number: UInt64) -> String { "\(origin)/\(epochWord(number))" }

    /// `epoch-000012`: at least six digits.
    static func epochWord(_ number: UInt64) -> String {
        let digits = String(number)
        return "epoch-" + String(repeating: "0", count: max(0, 6 - digits.utf8.count)) + digits
    }

    /// Two lines: the stable key, the key of epoch 0.
    var text: [UInt8] { Array("\(stable.text)\n\(epoch.text)\n".utf8) }

    /// Of a new log.
    init(origin: String, keys: LogKeys, epochs: EpochKeys) {
        stable = NoteVerifierKey(name: origin, publicKey: keys.stable.publicKey)
        epoch = NoteVerifierKey(name: Self.epochName(origin, 0), publicKey: epochs.live.publicKey)
    }

    /// Strict: nil when `text` is not exactly what ``text`` writes.
    init?(_ text: [UInt8]) {
        let lines = text.split(separator: 0x0a, omittingEmptySubsequences: false)
        guard lines.count == 3, let stable = NoteVerifierKey(String(decoding: lines[0], as: UTF8.self)),
            let epoch = NoteVerifierKey(String(decoding: lines[1], as: UTF8.self)),
            epoch.name == Self.epochName(stable.name, 0)
        else { return nil }
        self.stable = stable
        self.epoch = epoch
        guard self.text == text else { return nil }
    }

    /// 1 to 200 printable ASCII characters, no space, no `+`.
    static func isValidOrigin(_ origin: String) -> Bool {
        origin.utf8.count <= 200 && NoteVerifierKey.isValidName(origin)
    }
}
