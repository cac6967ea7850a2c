internal import CoffreCrypto

/// What is remembered of one witness, in a small file of the log's folder.
struct WitnessState: Sendable, Equatable {
    static let folder = "witness"
    /// Largest file that is read, in bytes.
    static let maximumBytes = 1024
    private static let title = "coffre witness v1"

    /// What the witness holds against the log.
    struct Refusal: Sendable, Equatable {
        enum Kind: String, Sendable, CaseIterable {
            /// It has seen more records than there are.
            case longer
            /// It has seen other records.
            case other
        }

        /// Records that it has seen.
        let theirs: UInt64
        /// Records that were submitted.
        let ours: UInt64
        let kind: Kind

        var reason: String {
            switch kind {
            case .longer: "it has cosigned \(theirs) records, and only \(ours) are here"
            case .other: "it has cosigned other records than the first \(theirs) of the \(ours) here"
            }
        }
    }

    let key: CosignerKey
    /// Records that it has cosigned last; 0 when none.
    var size: UInt64
    /// The root over them.
    var root: Digest
    /// When it did, by our clock: seconds since 1970; 0 when never.
    var time: Int64
    /// Nil while the witness agrees with the log.
    var refusal: Refusal?

    init(key: CosignerKey, size: UInt64 = 0, root: Digest = .zero, time: Int64 = 0, refusal: Refusal? = nil) {
        self.key = key
        self.size = size
        self.root = root
        self.time = time
        self.refusal = refusal
    }

    var path: String { "\(Self.folder)/\(key.fileName)" }

    /// The bytes of the file.
    var text: [UInt8] {
        let refused = refusal.map { "\($0.kind.rawValue) \($0.theirs) \($0.ours)" } ?? "agrees"
        return Array("\(Self.title)\n\(key.text)\n\(size)\n\(Base64.encode(root.bytes))\n\(time)\n\(refused)\n".utf8)
    }

    /// Strict: nil when ``text`` would not write it.
    init?(_ text: [UInt8]) {
        guard text.count <= Self.maximumBytes else { return nil }
        let lines = text.split(separator: 0x0a, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        guard lines.count == 7, let key = CosignerKey(lines[1]), let size = UInt64(lines[2]),
            let root = StrictBase64.decode(Array(lines[3].utf8)).flatMap({ Digest($0) }), let time = Int64(lines[4]),
            time >= 0
        else { return nil }
        self.init(key: key, size: size, root: root, time: time)
        let words = lines[5].split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        if words.count == 3 {
            guard let kind = Refusal.Kind(rawValue: words[0]), let theirs = UInt64(words[1]),
                let ours = UInt64(words[2])
            else { return nil }
            refusal = Refusal(theirs: theirs, ours: ours, kind: kind)
        }
        guard self.text == text else { return nil }
    }
}
