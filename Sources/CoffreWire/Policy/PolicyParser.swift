/// HCL as policies use it: `key = value`, `key "label" { … }`, lists, objects, strings, here-documents, comments.
///
/// Bounded in depth; whatever it does not understand is an error with its line.
struct PolicyParser {
    private static let maximumDepth = 16

    private let text: [UInt8]
    private var position = 0
    private var line = 1

    private init(_ text: [UInt8]) { self.text = text }

    /// - Returns: the top-level object.
    /// - Throws: ``PolicyError``.
    static func parse(_ text: String) throws(PolicyError) -> PolicyNode {
        var parser = PolicyParser(Array(text.utf8))
        let members = try parser.parseBody(depth: 0, isTop: true)
        return .object(members)
    }

    private func failure(_ message: String) -> PolicyError { PolicyError(message, line: line) }

    private var current: UInt8? { position < text.count ? text[position] : nil }

    private mutating func advance() {
        if text[position] == 0x0a { line += 1 }
        position += 1
    }

    private func starts(with characters: StaticString) -> Bool {
        let count = characters.utf8CodeUnitCount
        guard position + count <= text.count else { return false }
        return (0..<count).allSatisfy { text[position + $0] == characters.utf8Start[$0] }
    }

    private mutating func skipSpace() throws(PolicyError) {
        while let byte = current {
            if byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d {
                advance()
            } else if byte == 0x23 || starts(with: "//") {
                while let next = current, next != 0x0a { _ = next; advance() }
            } else if starts(with: "/*") {
                while !starts(with: "*/") {
                    guard current != nil else { throw failure("a comment does not end") }
                    advance()
                }
                position += 2
            } else {
                return
            }
        }
    }

    private mutating func parseBody(depth: Int, isTop: Bool) throws(PolicyError) -> [PolicyNode.Member] {
        guard depth < Self.maximumDepth else { throw failure("nested too deeply") }
        var members: [PolicyNode.Member] = []
        while true {
            try skipSpace()
            guard let byte = current else {
                if isTop { return members }
                throw failure("a block does not end: a } is missing")
            }
            if byte == 0x7d {
                guard !isTop else { throw failure("a } without {") }
                advance()
                return members
            }
            let start = line
            let key = try parseKey()
            let value = try parseAssigned(depth: depth)
            members.append(PolicyNode.Member(key: key, value: value, line: start, endLine: line))
            try skipSpace()
            if current == 0x2c { advance() }
        }
    }

    // What follows a key: `= value`, `{ … }`, or one or more labels and `{ … }`.
    private mutating func parseAssigned(depth: Int, isLabelled: Bool = false) throws(PolicyError) -> PolicyNode {
        guard depth < Self.maximumDepth else { throw failure("nested too deeply") }
        try skipSpace()
        switch current {
        case 0x3d where !isLabelled:
            advance()
            return try parseValue(depth: depth + 1)
        case 0x7b:
            advance()
            return .object(try parseBody(depth: depth + 1, isTop: false))
        case let byte? where byte == 0x22 || Self.isIdentifier(byte):
            let start = line
            let label = try parseKey()
            let inner = try parseAssigned(depth: depth + 1, isLabelled: true)
            return .object([PolicyNode.Member(key: label, value: inner, line: start, endLine: line)])
        default: throw failure(isLabelled ? "a label is followed by {" : "expected =, a label in quotes or {")
        }
    }

    private mutating func parseKey() throws(PolicyError) -> String {
        if current == 0x22 { return try parseString() }
        let start = position
        while let byte = current, Self.isIdentifier(byte) { advance() }
        guard position > start else { throw failure("expected a name") }
        return String(decoding: text[start..<position], as: UTF8.self)
    }

    private static func isIdentifier(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f
            || byte == 0x2d || byte == 0x2e
    }

    private static func isNumber(_ word: String) -> Bool {
        let digits = word.utf8.first == 0x2d ? word.dropFirst() : word[...]
        return digits.utf8.first.map { (0x30...0x39).contains($0) } == true && Double(word) != nil
    }

    private mutating func parseValue(depth: Int) throws(PolicyError) -> PolicyNode {
        guard depth < Self.maximumDepth else { throw failure("nested too deeply") }
        try skipSpace()
        switch current {
        case 0x22: return .string(try parseString())
        case 0x5b:
            advance()
            return try parseList(depth: depth)
        case 0x7b:
            advance()
            return .object(try parseBody(depth: depth + 1, isTop: false))
        case 0x3c where starts(with: "<<"): return .string(try parseHereDocument())
        case let byte? where Self.isIdentifier(byte):
            let start = position
            while let byte = current, Self.isIdentifier(byte) { advance() }
            let word = String(decoding: text[start..<position], as: UTF8.self)
            guard word == "true" || word == "false" || Self.isNumber(word) else {
                throw failure("\"\(word)\" is no value: texts stand in quotes")
            }
            return .literal(word)
        default: throw failure("expected a value")
        }
    }

    private mutating func parseList(depth: Int) throws(PolicyError) -> PolicyNode {
        var values: [PolicyNode] = []
        while true {
            try skipSpace()
            if current == 0x5d {
                advance()
                return .list(values)
            }
            values.append(try parseValue(depth: depth + 1))
            try skipSpace()
            if current == 0x2c {
                advance()
            } else if current != 0x5d {
                throw failure("expected , or ] in a list")
            }
        }
    }

    private mutating func parseString() throws(PolicyError) -> String {
        advance()
        var bytes: [UInt8] = []
        while let byte = current {
            switch byte {
            case 0x22:
                advance()
                return try decoded(bytes)
            case 0x0a, 0x0d: throw failure("a text in quotes does not end on its line")
            case 0x5c:
                advance()
                try parseEscape(into: &bytes)
            default:
                bytes.append(byte)
                advance()
            }
        }
        throw failure("a text in quotes does not end")
    }

    private mutating func parseEscape(into bytes: inout [UInt8]) throws(PolicyError) {
        guard let escape = current else { throw failure("a text in quotes does not end") }
        advance()
        switch escape {
        case 0x6e: bytes.append(0x0a)
        case 0x72: bytes.append(0x0d)
        case 0x74: bytes.append(0x09)
        case 0x22, 0x5c: bytes.append(escape)
        case 0x75:
            guard position + 4 <= text.count,
                let code = UInt32(String(decoding: text[position..<position + 4], as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(code)
            else { throw failure("\\u takes four hex digits") }
            position += 4
            bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw failure("unknown escape in a text")
        }
    }

    private mutating func parseHereDocument() throws(PolicyError) -> String {
        position += 2
        let isIndented = current == 0x2d
        if isIndented { advance() }
        let start = position
        while let byte = current, byte != 0x0a { _ = byte; advance() }
        let marker = text[start..<position].filter { $0 != 0x0d }
        guard !marker.isEmpty, current != nil else { throw failure("a here-document has no marker") }
        advance()
        var lines: [UInt8] = []
        while current != nil {
            let lineStart = position
            while let byte = current, byte != 0x0a { _ = byte; advance() }
            let content = text[lineStart..<position].filter { $0 != 0x0d }
            if content.drop(while: { isIndented && ($0 == 0x20 || $0 == 0x09) }).elementsEqual(marker) {
                return try decoded(lines)
            }
            lines.append(contentsOf: content)
            lines.append(0x0a)
            if current != nil { advance() }
        }
        throw failure("a here-document does not end")
    }

    private func decoded(_ bytes: [UInt8]) throws(PolicyError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw failure("a text is not UTF-8") }
        return text
    }
}
