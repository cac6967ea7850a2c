/// A mail server's reply: a three-digit code with the texts of its lines (RFC 5321 §4.2).
struct SMTPReply: Equatable {
    let code: Int
    let lines: [String]

    /// Cuts the server's bytes into replies. Bounded: a line has at most 512 bytes, a reply at most 64 lines.
    struct Parser {
        /// The bytes are no reply.
        struct Malformed: Error {}

        private static let lineLimit = 512
        private static let replyLimit = 64

        private var bytes: [UInt8] = []
        private var code: Int?
        private var lines: [String] = []

        /// Whether something has come that belongs to no complete reply.
        var holdsMore: Bool { !bytes.isEmpty || code != nil }

        mutating func append(_ more: some Collection<UInt8>) { bytes += more }

        /// The next complete reply.
        mutating func next() throws(Malformed) -> SMTPReply? {
            while let feed = bytes.firstIndex(of: 0x0a) {
                guard feed > 0, bytes[feed - 1] == 0x0d, feed < Self.lineLimit else { throw Malformed() }
                let line = bytes[..<(feed - 1)]
                let isLast = try read(Array(line))
                bytes.removeFirst(feed + 1)
                if isLast, let code {
                    defer { (self.code, lines) = (nil, []) }
                    return SMTPReply(code: code, lines: lines)
                }
            }
            guard bytes.count < Self.lineLimit else { throw Malformed() }
            return nil
        }

        /// - Returns: whether the line ends its reply.
        private mutating func read(_ line: [UInt8]) throws(Malformed) -> Bool {
            guard line.count >= 3, lines.count < Self.replyLimit, (0x32...0x35).contains(line[0]),
                line[1...2].allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int(String(decoding: line[..<3], as: UTF8.self)), code == nil || code == number,
                line.dropFirst(3).first.map({ $0 == 0x20 || $0 == 0x2d }) != false,
                !line.contains(where: { $0 < 0x20 || $0 == 0x7f })
            else { throw Malformed() }
            code = number
            lines.append(String(decoding: line.dropFirst(4), as: UTF8.self))
            return line.dropFirst(3).first != 0x2d
        }
    }
}
