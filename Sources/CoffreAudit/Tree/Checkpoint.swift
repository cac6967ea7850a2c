package import CoffreCrypto

/// A tree head as C2SP tlog-checkpoint writes it: origin, size and root, one line each.
package struct Checkpoint: Sendable, Equatable {
    /// Where the newest one lies: a signed note, replaced atomically, only ever over records that are durable.
    static let path = "checkpoint"
    /// Largest note that is read, in bytes.
    package static let maximumBytes = 16_384

    /// Records that the root covers.
    package let size: UInt64
    /// The RFC 6962 root over the first `size` records.
    package let root: Digest

    init(_ frontier: Frontier) {
        size = frontier.size
        root = frontier.root
    }

    /// The text that is signed.
    func text(origin: String) -> [UInt8] {
        Array("\(origin)\n\(size)\n\(Base64.encode(root.bytes))\n".utf8)
    }

    /// The bytes of the `checkpoint` file.
    func note(_ signer: LogSigner) -> [UInt8] { signer.sign(text(origin: signer.origin)) }

    /// What to say of a log that holds fewer records than this.
    func shortfall(_ records: UInt64) -> String {
        "a signed checkpoint covers \(size) records and only \(records) are there: the end was cut off"
    }

    /// Opens a note: both signatures of its epoch, three lines, and exactly the form that ``text(origin:)`` writes.
    /// - Parameter others: whether others may have signed it too, as one that was kept outside.
    /// - Returns: nil when it is not a checkpoint of this log.
    init?(note: [UInt8], epochs: EpochChain, others: Bool = false) {
        guard note.count <= Self.maximumBytes, let text = epochs.open(note, others: others) else { return nil }
        self.init(text: text, origin: epochs.origin)
    }

    /// The text of a note whose signatures hold.
    init?(text: [UInt8], origin: String) {
        let lines = text.split(separator: 0x0a, omittingEmptySubsequences: false)
        guard lines.count == 4, let size = UInt64(String(decoding: lines[1], as: UTF8.self)),
            let bytes = StrictBase64.decode(lines[2]), let root = Digest(bytes)
        else { return nil }
        self.size = size
        self.root = root
        guard self.text(origin: origin) == text else { return nil }
    }
}

/// Roots that the tree must have had at certain sizes: what signed checkpoints say.
struct ExpectedRoots: Sendable {
    private let heads: [(size: UInt64, root: Digest, file: String)]
    private var next = 0

    /// - Parameter heads: with the file that each came from.
    init(_ heads: [(checkpoint: Checkpoint, file: String)] = []) {
        self.heads = heads.map { ($0.checkpoint.size, $0.checkpoint.root, $0.file) }.sorted { $0.size < $1.size }
    }

    /// A head that another of the same size contradicts; nil when there is none.
    var contradicted: String? {
        zip(heads, heads.dropFirst()).first { $0.size == $1.size && $0.root != $1.root }?.1.file
    }

    /// A head of `file` over more than `range` begins with and fewer than it ends with.
    func inside(_ range: Range<UInt64>, of file: String) -> UInt64? {
        heads.first { $0.file == file && $0.size > range.lowerBound && $0.size < range.upperBound }?.size
    }

    /// Whether a root over `size` records, or over fewer, is known and was not asked for yet.
    func isDue(at size: UInt64) -> Bool { next < heads.count && heads[next].size <= size }

    /// To be asked at every size that is due, in order.
    /// - Returns: why `frontier` is not the tree that was signed; nil when it is, or when nothing was.
    mutating func defect(at frontier: Frontier) -> String? {
        // Smaller ones lie before the place where reading began.
        while next < heads.count, heads[next].size < frontier.size { next += 1 }
        while next < heads.count, heads[next].size == frontier.size {
            if heads[next].root != frontier.root {
                return "\(heads[next].file) signs another history: its root over \(frontier.size) records differs"
            }
            next += 1
        }
        return nil
    }

    /// The file whose checkpoint covers more than `size` records, and how many it covers.
    func beyond(_ size: UInt64) -> (file: String, size: UInt64)? {
        heads.last.flatMap { $0.size > size ? ($0.file, $0.size) : nil }
    }
}
