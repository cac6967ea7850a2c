import Glibc
import Synchronization

/// Where secrets come from: files, standard input, a terminal without echo; never the arguments.
enum Input {
    /// Largest value read, in bytes: the server's own limit for a request.
    static let maximumSize = 32 << 20

    private static let claimedBy = Mutex<String?>(nil)

    /// All of standard input, once.
    /// - Parameter use: who wants it; named when two do.
    static func standardInput(for use: String) throws -> [UInt8] {
        let earlier = claimedBy.withLock { claimed in
            defer { claimed = claimed ?? use }
            return claimed
        }
        if let earlier {
            throw Failure(
                "standard input can be read once, and both \(earlier) and \(use) want it",
                "l'entrée standard ne se lit qu'une fois, or \(earlier) et \(use) la demandent",
                .usage
            )
        }
        return try readAll(STDIN_FILENO, name: "-")
    }

    /// A file, bounded; `-` is standard input.
    static func file(_ path: String, for use: String) throws -> [UInt8] {
        guard path != "-" else { return try standardInput(for: use) }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw cannotRead(path) }
        defer { close(descriptor) }
        return try readAll(descriptor, name: path)
    }

    /// A file that holds one line of text, such as a token or a share.
    static func text(_ path: String, for use: String) throws -> String {
        guard let text = String(validating: try file(path, for: use), as: UTF8.self) else {
            throw Failure("\(path) is not UTF-8 text", "\(path) n'est pas du texte UTF-8")
        }
        return text
    }

    private static func readAll(_ descriptor: Int32, name: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = block.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw cannotRead(name) }
            guard count > 0 else { return bytes }
            guard bytes.count + count <= maximumSize else {
                throw Failure("\(name) is larger than 32 MiB", "\(name) dépasse 32 Mio")
            }
            bytes += block[..<count]
        }
    }

    private static func cannotRead(_ path: String) -> Failure {
        let reason = String(cString: strerror(errno))
        return Failure("cannot read \(path): \(reason)", "lecture impossible de \(path) : \(reason)", .error)
    }

    static var isTerminal: Bool { isatty(STDIN_FILENO) == 1 }

    /// Asks a question whose answer is seen, on standard input.
    static func asks(_ question: String, for answer: String) -> Bool {
        _ = writeAll(Array("\(question): ".utf8), to: STDERR_FILENO)
        return readLine().map { $0.utf8.elementsEqual(answer.utf8) } ?? false
    }

    /// Asks for a text that is seen, on standard input; an empty answer takes `proposal`.
    static func ask(_ question: String, proposal: String?) throws -> String {
        let hint = proposal.map { " [\($0)]" } ?? ""
        _ = writeAll(Array("\(question)\(hint): ".utf8), to: STDERR_FILENO)
        guard let answer = readLine() else { throw Failure("interrupted", "interrompu", .interrupted) }
        return answer.isEmpty ? proposal ?? "" : answer
    }

    /// Asks on the terminal without echo.
    ///
    /// The terminal is read byte by byte without signals from keys, so that it is always put back as it was.
    static func prompt(_ question: String) throws -> String {
        let descriptor = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else {
            throw Failure("there is no terminal to ask on", "aucun terminal pour poser la question")
        }
        defer { close(descriptor) }
        var saved = termios()
        guard tcgetattr(descriptor, &saved) == 0 else {
            throw Failure("there is no terminal to ask on", "aucun terminal pour poser la question")
        }
        var quiet = saved
        quiet.c_lflag &= ~tcflag_t(ECHO | ICANON | ISIG)
        tcsetattr(descriptor, TCSAFLUSH, &quiet)
        defer {
            tcsetattr(descriptor, TCSAFLUSH, &saved)
            _ = writeAll([0x0a], to: descriptor)
        }
        _ = writeAll(Array("\(question): ".utf8), to: descriptor)
        return try line(from: descriptor)
    }

    private static func line(from descriptor: Int32) throws -> String {
        var bytes: [UInt8] = []
        while bytes.count < 65536 {
            var byte: UInt8 = 0
            let count = read(descriptor, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            guard count == 1, byte != 0x03, !(byte == 0x04 && bytes.isEmpty) else {
                throw Failure("interrupted", "interrompu", .interrupted)
            }
            switch byte {
            case 0x0a, 0x0d, 0x04:
                guard let text = String(validating: bytes, as: UTF8.self) else {
                    throw Failure("what was typed is not UTF-8", "la saisie n'est pas en UTF-8")
                }
                return text
            case 0x08, 0x7f:
                while let last = bytes.popLast(), last & 0xc0 == 0x80 {}
            case 0x15: bytes = []
            default: bytes.append(byte)
            }
        }
        throw Failure("what was typed is longer than 64 KiB", "la saisie dépasse 64 Kio")
    }
}
