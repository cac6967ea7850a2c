/// The structure of a validated JSON text: kinds and byte ranges, no content.
///
/// The tape never copies the text, so a secret stays where it is. RFC 8259 strictly: no comments, no trailing commas, no
/// leading zeros, UTF-8 only, no lone surrogates, no byte-order mark.
struct JSONTape: Sendable {
    enum Kind: UInt8, Sendable {
        case null, bool, number, string, array, object
    }

    struct Node: Sendable {
        let kind: Kind
        /// Whether a string holds a backslash.
        var isEscaped = false
        let start: UInt32
        var end: UInt32
        /// Index of the node after this subtree.
        var next: UInt32
    }

    private(set) var nodes: [Node] = []

    /// - Parameters:
    ///   - text: at most 4 GiB.
    ///   - maximumDepth: arrays and objects inside one another.
    ///   - maximumNodes: values and keys in all.
    /// - Throws: ``JSONError``.
    init(_ text: UnsafeRawBufferPointer, maximumDepth: Int, maximumNodes: Int) throws(JSONError) {
        guard text.count < Int(UInt32.max) else { throw JSONError(code: .tooLarge, offset: 0) }
        var parser = Parser(text: text, maximumDepth: maximumDepth, maximumNodes: maximumNodes)
        try parser.parseDocument()
        nodes = parser.nodes
    }

    private struct Parser {
        let text: UnsafeRawBufferPointer
        let maximumDepth: Int
        let maximumNodes: Int
        var nodes: [Node] = []
        var position = 0

        init(text: UnsafeRawBufferPointer, maximumDepth: Int, maximumNodes: Int) {
            self.text = text
            self.maximumDepth = maximumDepth
            self.maximumNodes = maximumNodes
        }

        private func failure(_ code: JSONError.Code) -> JSONError { JSONError(code: code, offset: position) }

        private mutating func skipSpace() {
            while position < text.count {
                switch text[position] {
                case 0x20, 0x09, 0x0a, 0x0d: position += 1
                default: return
                }
            }
        }

        private mutating func peek() throws(JSONError) -> UInt8 {
            skipSpace()
            guard position < text.count else { throw failure(.unexpectedEnd) }
            return text[position]
        }

        private mutating func append(_ kind: Kind, start: Int) throws(JSONError) {
            guard nodes.count < maximumNodes else { throw failure(.tooLarge) }
            nodes.append(
                Node(kind: kind, start: UInt32(start), end: UInt32(position), next: UInt32(nodes.count + 1))
            )
        }

        private mutating func close(_ index: Int) {
            nodes[index].end = UInt32(position)
            nodes[index].next = UInt32(nodes.count)
        }

        // Iterative, so that depth costs heap and never stack.
        mutating func parseDocument() throws(JSONError) {
            var open: [Int] = []
            try parseValueStart(&open)
            while let container = open.last {
                let isObject = nodes[container].kind == .object
                let closing: UInt8 = isObject ? 0x7d : 0x5d
                let isEmpty = nodes.count == container + 1
                let byte = try peek()
                if byte == closing {
                    position += 1
                    close(container)
                    open.removeLast()
                    continue
                }
                if !isEmpty {
                    guard byte == 0x2c else { throw failure(.unexpectedByte) }
                    position += 1
                }
                if isObject {
                    guard try peek() == 0x22 else { throw failure(.unexpectedByte) }
                    try parseString()
                    guard try peek() == 0x3a else { throw failure(.unexpectedByte) }
                    position += 1
                }
                try parseValueStart(&open)
            }
            skipSpace()
            guard position == text.count else { throw failure(.trailingBytes) }
        }

        private mutating func parseValueStart(_ open: inout [Int]) throws(JSONError) {
            let byte = try peek()
            switch byte {
            case 0x7b, 0x5b:
                guard open.count < maximumDepth else { throw failure(.tooDeep) }
                let start = position
                position += 1
                try append(byte == 0x7b ? .object : .array, start: start)
                open.append(nodes.count - 1)
            case 0x22: try parseString()
            case 0x74: try parseLiteral("true", .bool)
            case 0x66: try parseLiteral("false", .bool)
            case 0x6e: try parseLiteral("null", .null)
            case 0x2d, 0x30...0x39: try parseNumber()
            default: throw failure(.unexpectedByte)
            }
        }

        private mutating func parseLiteral(_ literal: StaticString, _ kind: Kind) throws(JSONError) {
            let start = position
            for index in 0..<literal.utf8CodeUnitCount {
                guard position < text.count else { throw failure(.unexpectedEnd) }
                guard text[position] == literal.utf8Start[index] else { throw failure(.unexpectedByte) }
                position += 1
            }
            try append(kind, start: start)
        }

        private mutating func digits() throws(JSONError) {
            guard position < text.count else { throw failure(.unexpectedEnd) }
            guard (0x30...0x39).contains(text[position]) else { throw failure(.unexpectedByte) }
            while position < text.count, (0x30...0x39).contains(text[position]) { position += 1 }
        }

        private mutating func parseNumber() throws(JSONError) {
            let start = position
            if text[position] == 0x2d { position += 1 }
            if position < text.count, text[position] == 0x30 { position += 1 } else { try digits() }
            if position < text.count, text[position] == 0x2e {
                position += 1
                try digits()
            }
            if position < text.count, text[position] == 0x65 || text[position] == 0x45 {
                position += 1
                if position < text.count, text[position] == 0x2b || text[position] == 0x2d { position += 1 }
                try digits()
            }
            try append(.number, start: start)
        }

        private mutating func parseString() throws(JSONError) {
            let start = position
            var isEscaped = false
            position += 1
            while true {
                guard position < text.count else { throw failure(.unexpectedEnd) }
                let byte = text[position]
                switch byte {
                case 0x22:
                    position += 1
                    try append(.string, start: start)
                    nodes[nodes.count - 1].isEscaped = isEscaped
                    return
                case 0x5c:
                    isEscaped = true
                    try skipEscape()
                case 0x20..<0x80: position += 1
                case 0x80...: try skipMultibyte(byte)
                default: throw failure(.unexpectedByte)
                }
            }
        }

        private mutating func skipEscape() throws(JSONError) {
            guard position + 1 < text.count else { throw failure(.unexpectedEnd) }
            switch text[position + 1] {
            case 0x22, 0x5c, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74: position += 2
            case 0x75:
                let unit = try hexUnit()
                if (0xdc00...0xdfff).contains(unit) { throw failure(.invalidString) }
                guard (0xd800...0xdbff).contains(unit) else { return }
                guard position + 1 < text.count, text[position] == 0x5c, text[position + 1] == 0x75 else {
                    throw failure(.invalidString)
                }
                guard (0xdc00...0xdfff).contains(try hexUnit()) else { throw failure(.invalidString) }
            default: throw failure(.unexpectedByte)
            }
        }

        private mutating func hexUnit() throws(JSONError) -> UInt32 {
            guard position + 6 <= text.count else { throw failure(.unexpectedEnd) }
            guard let unit = JSONEscape.hexUnit(text, at: position + 2) else { throw failure(.unexpectedByte) }
            position += 6
            return unit
        }

        // Well-formed UTF-8 only (Unicode 15, table 3-7): no overlong forms, no surrogates.
        private mutating func skipMultibyte(_ lead: UInt8) throws(JSONError) {
            let length: Int
            var low: UInt8 = 0x80
            var high: UInt8 = 0xbf
            switch lead {
            case 0xc2...0xdf: length = 2
            case 0xe0: (length, low) = (3, 0xa0)
            case 0xed: (length, high) = (3, 0x9f)
            case 0xe1...0xef: length = 3
            case 0xf0: (length, low) = (4, 0x90)
            case 0xf4: (length, high) = (4, 0x8f)
            case 0xf1...0xf3: length = 4
            default: throw failure(.invalidString)
            }
            guard position + length <= text.count else { throw failure(.unexpectedEnd) }
            guard (low...high).contains(text[position + 1]) else { throw failure(.invalidString) }
            for index in 2..<max(length, 2) where text[position + index] & 0xc0 != 0x80 {
                throw failure(.invalidString)
            }
            position += length
        }
    }
}
