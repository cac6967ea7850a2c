/// Reads the text of a pattern; refuses what this dialect does not have.
struct PatternParser {
    private static let maximumBytes = 512
    private static let maximumDepth = 16
    private static let maximumCount = 2000

    private let place: String
    private let text: [UInt8]
    private var position = 0
    private var depth = 0

    /// - Throws: ``CatalogueError`` about `place`.
    static func parse(_ text: String, at place: String) throws(CatalogueError) -> PatternNode {
        var bytes = Array(text.utf8)
        guard bytes.count <= maximumBytes else { throw CatalogueError(place, "the pattern is too long") }
        guard bytes.count >= 2, bytes.removeFirst() == UInt8(ascii: "^"), bytes.removeLast() == UInt8(ascii: "$"),
            bytes.last != UInt8(ascii: "\\")
        else { throw CatalogueError(place, "a pattern stands for the whole value: ^…$") }
        guard bytes.allSatisfy({ (0x20..<0x7f).contains($0) }) else {
            throw CatalogueError(place, "a pattern is printable ASCII")
        }
        var parser = PatternParser(place: place, text: bytes)
        let node = try parser.parseChoice()
        guard parser.position == bytes.count else { throw parser.failure("an unmatched )") }
        return node
    }

    private init(place: String, text: [UInt8]) {
        self.place = place
        self.text = text
    }

    private func failure(_ reason: String) -> CatalogueError {
        CatalogueError(place, "pattern, byte \(position + 1): \(reason)")
    }

    private var peek: UInt8? { position < text.count ? text[position] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func parseChoice() throws(CatalogueError) -> PatternNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else { throw failure("nested too deeply") }
        var choices = [try parseSequence()]
        while take("|") { choices.append(try parseSequence()) }
        return choices.count == 1 ? choices[0] : .choice(choices)
    }

    private mutating func parseSequence() throws(CatalogueError) -> PatternNode {
        var nodes: [PatternNode] = []
        while let byte = peek, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
            nodes.append(try parseQuantified())
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func parseQuantified() throws(CatalogueError) -> PatternNode {
        let node = try parseAtom()
        let result: PatternNode
        if take("*") {
            result = .repeated(node, least: 0, most: nil)
        } else if take("+") {
            result = .repeated(node, least: 1, most: nil)
        } else if take("?") {
            result = .repeated(node, least: 0, most: 1)
        } else if take("{") {
            let least = try parseCount()
            let most = take(",") ? (peek == UInt8(ascii: "}") ? nil : try parseCount()) : least
            guard take("}"), most ?? least >= least else { throw failure("a count that is none") }
            result = .repeated(node, least: least, most: most)
        } else {
            return node
        }
        if let byte = peek, Array("*+?{".utf8).contains(byte) { throw failure("a quantifier of a quantifier") }
        return result
    }

    private mutating func parseCount() throws(CatalogueError) -> Int {
        var count = 0
        let start = position
        while let byte = peek, (0x30...0x39).contains(byte), count <= Self.maximumCount {
            count = count * 10 + Int(byte - 0x30)
            position += 1
        }
        guard position > start, count <= Self.maximumCount else { throw failure("a count that is none, or too large") }
        return count
    }

    private mutating func parseAtom() throws(CatalogueError) -> PatternNode {
        if take("(") {
            guard take("?"), take(":") else { throw failure("groups are (?:…)") }
            let node = try parseChoice()
            guard take(")") else { throw failure("a group without its )") }
            return node
        }
        if take("[") { return .one(try parseClass()) }
        if take(".") { return .one(.anything) }
        if take("\\") { return .one(try parseEscape()) }
        guard let byte = peek, !Array("*+?{}]^$".utf8).contains(byte) else {
            throw failure("a character with a meaning, unescaped")
        }
        position += 1
        return .one(Self.set(of: byte))
    }

    private static func set(of byte: UInt8) -> CharacterSet {
        var set = CharacterSet()
        set.insert(byte)
        return set
    }

    /// What follows a backslash.
    private mutating func parseEscape() throws(CatalogueError) -> CharacterSet {
        if take("s") { return .space }
        if take("S") { return CharacterSet.space.inverted }
        guard let byte = peek, Array("\\^$.*+?()[]{}|/-".utf8).contains(byte) else {
            throw failure("an unknown escape")
        }
        position += 1
        return Self.set(of: byte)
    }

    private mutating func parseClass() throws(CatalogueError) -> CharacterSet {
        let isInverted = take("^")
        var set = CharacterSet()
        guard peek != UInt8(ascii: "]") else { throw failure("an empty class") }
        while !take("]") {
            guard let first = peek, first != UInt8(ascii: "[") else { throw failure("a class without its ]") }
            if take("\\") {
                set.formUnion(try parseEscape())
                continue
            }
            position += 1
            // A hyphen at the end stands for itself.
            guard peek == UInt8(ascii: "-"), position + 1 < text.count, text[position + 1] != UInt8(ascii: "]") else {
                set.insert(first)
                continue
            }
            let last = text[position + 1]
            guard last >= first, last != UInt8(ascii: "\\") else { throw failure("a range that is none") }
            position += 2
            for byte in first...last { set.insert(byte) }
        }
        return isInverted ? set.inverted : set
    }
}
