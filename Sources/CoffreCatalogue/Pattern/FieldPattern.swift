/// The form of a field's value: the part of ECMA-262's patterns (the dialect of JSON Schema) that the catalogue uses.
///
/// A pattern stands for the whole value, `^…$`, and knows characters, `[…]`, `.`, `\s`, `\S`, `(?:…)`, `|` and the
/// quantifiers. It looks at no neighbours and refers to no group, so that a value is matched in one pass, whatever it is:
/// time grows with its length and with the size of the pattern, never with their power.
package struct FieldPattern: Sendable, Equatable {
    enum Step: Sendable, Equatable {
        case one(CharacterSet)
        case split(Int, Int)
        case jump(Int)
        case match
    }

    /// Longest value that is matched, in bytes.
    package static let maximumInputBytes = 4096
    /// Largest compiled pattern.
    static let maximumSteps = 6000

    /// As it is written in the catalogue and in forms.
    package let text: String
    private let steps: [Step]

    /// Compiles `text`.
    /// - Throws: ``CatalogueError`` about `place`, when it is no pattern of this kind or too large.
    init(_ text: String, at place: String) throws(CatalogueError) {
        self.text = text
        var compiler = PatternCompiler()
        compiler.emit(try PatternParser.parse(text, at: place))
        guard compiler.steps.count < Self.maximumSteps else { throw CatalogueError(place, "the pattern is too large") }
        steps = compiler.steps + [.match]
    }

    /// Whether the whole of `value` has this form; false for one that is too long to be matched.
    ///
    /// Follows all ways through the pattern at once (K. Thompson, "Regular Expression Search Algorithm", CACM 11(6),
    /// 1968), and copies nothing of the value.
    /// - Parameter value: UTF-8, valid.
    package func matches(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count <= Self.maximumInputBytes else { return false }
        var ways = PatternWays(steps)
        ways.start()
        // A byte that goes on with a character was answered for by the character's first.
        for byte in value where byte & 0xc0 != 0x80 {
            ways.advance(over: byte)
            if ways.current.isEmpty { return false }
        }
        return ways.current.contains(steps.count - 1)
    }
}
