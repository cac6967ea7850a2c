/// What can go wrong in this module. Messages name no input value.
package struct CryptoError: Error, Sendable, Equatable {
    /// The closed list of causes.
    package enum Code: Sendable, Equatable {
        /// An input has another length than the operation requires.
        case invalidLength
        /// A tag, signature or sealed box does not belong to its input: wrong key, moved or changed bytes.
        case authenticationFailed
        /// Text is not valid hex, base64 or base62.
        case invalidEncoding
        /// Guarded memory could not be obtained or locked (see `ulimit -l`, `LimitMEMLOCK=`).
        case memoryUnavailable
        /// The library refused an operation that cannot fail on correct input.
        case libraryFailure
    }

    package let code: Code
    /// Safe to log and to show.
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package static func == (left: Self, right: Self) -> Bool { left.code == right.code }
}
