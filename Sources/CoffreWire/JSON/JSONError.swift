/// Why a text is not acceptable JSON (RFC 8259), and where. Carries no part of the text.
public struct JSONError: Error, Sendable, Equatable {
    /// The closed list of causes.
    public enum Code: String, Sendable {
        /// A byte that the grammar does not allow here.
        case unexpectedByte = "unexpected byte"
        /// The text ends too early.
        case unexpectedEnd = "unexpected end"
        /// Bytes after the value.
        case trailingBytes = "bytes after the value"
        /// A string that is not UTF-8, or an escape of half a surrogate pair.
        case invalidString = "invalid string"
        /// Nested deeper than the limit.
        case tooDeep = "nested too deeply"
        /// More values than the limit.
        case tooLarge = "too many values"
    }

    /// What is wrong.
    public let code: Code
    /// Byte offset of the first offending byte.
    public let offset: Int

    /// A sentence that is safe to log and to send.
    public var message: String { "malformed JSON: \(code.rawValue) at byte \(offset)" }
}
