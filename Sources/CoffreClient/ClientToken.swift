/// A token of the vault. Printing shows its length alone.
public struct ClientToken: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Longest token accepted, in bytes: JWT-like tokens of other servers stay well below.
    public static let maximumLength = 8192

    let value: String

    /// Takes a token as found in a file or a variable; surrounding white space is dropped.
    /// - Throws: ``ClientError`` with `.invalidInput` when empty, longer than ``maximumLength``, or not printable ASCII
    ///   (it would not fit in a header, RFC 9110 §5.5).
    public init(_ text: String) throws(ClientError) { try self.init(text, atMost: Self.maximumLength) }

    /// Takes the ID token of a person, which may be longer: up to 16 KiB, as the server takes it.
    /// - Throws: ``ClientError`` with `.invalidInput`, as ``init(_:)`` does.
    public init(subject text: String) throws(ClientError) { try self.init(text, atMost: 16_384) }

    private init(_ text: String, atMost limit: Int) throws(ClientError) {
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0d).contains(byte) }
        let bytes = text.utf8.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
        guard !bytes.isEmpty else { throw ClientError(.invalidInput, "the token is empty") }
        guard bytes.count <= limit, bytes.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw ClientError(.invalidInput, "the token must be printable ASCII of at most \(limit) bytes")
        }
        value = String(decoding: bytes, as: UTF8.self)
    }

    /// The number of bytes, never the token.
    public var description: String { "token(\(value.utf8.count) bytes)" }
    /// The number of bytes, never the token.
    public var debugDescription: String { description }
    /// Nothing of the token.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
