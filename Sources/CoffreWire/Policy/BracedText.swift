/// A text with parts in double braces. Works on bytes: a combining mark after a brace hides nothing.
enum BracedText {
    enum Part {
        case text([UInt8])
        /// What stands between the braces, without the white space around it.
        case braced(String)
    }

    /// - Throws: ``PolicyError`` for braces without their counterpart.
    static func parts(of text: String) throws(PolicyError) -> [Part] {
        let bytes = Array(text.utf8)
        var parts: [Part] = []
        var plain: [UInt8] = []
        var open: Int?
        var position = 0
        while position < bytes.count {
            let isDouble = position + 1 < bytes.count && bytes[position] == bytes[position + 1]
            if isDouble, bytes[position] == 0x7b {
                guard open == nil else { throw PolicyError("unbalanced {{ and }}") }
                if !plain.isEmpty { parts.append(.text(plain)) }
                plain = []
                position += 2
                open = position
            } else if isDouble, bytes[position] == 0x7d {
                guard let start = open else { throw PolicyError("unbalanced {{ and }}") }
                parts.append(.braced(trimmed(bytes[start..<position])))
                position += 2
                open = nil
            } else {
                if open == nil { plain.append(bytes[position]) }
                position += 1
            }
        }
        guard open == nil else { throw PolicyError("unbalanced {{ and }}") }
        if !plain.isEmpty { parts.append(.text(plain)) }
        return parts
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> String {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
        let start = bytes.firstIndex { !isSpace($0) } ?? bytes.endIndex
        let end = bytes.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? start
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }
}
