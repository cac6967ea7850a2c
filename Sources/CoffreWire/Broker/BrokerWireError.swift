/// Why bytes of the broker's protocol were refused, or a value cannot be written in it. Messages name no input value.
public struct BrokerWireError: Error, Sendable, Equatable {
    /// The closed list of causes.
    public enum Code: Sendable, Equatable {
        /// The frame's version byte is not 1.
        case unsupportedVersion
        /// The frame's type byte is not in the list.
        case unknownType
        /// A length is above its limit, or the target buffer is too small.
        case tooLong
        /// The bytes end before the value does, or go on after it.
        case wrongLength
        /// A field is unknown, repeated, out of order, missing, or holds what it must not.
        case invalidField
    }

    /// The cause.
    public let code: Code
    /// Safe to log and to show.
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Equality by code.
    public static func == (left: Self, right: Self) -> Bool { left.code == right.code }
}
