internal import Glibc

/// What a Linux service can be refused by its host.
package struct HostError: Error, Sendable, CustomStringConvertible {
    /// The closed list of causes.
    package enum Code: Sendable, Equatable {
        /// A system call failed; `errno` says how.
        case system
        /// A descriptor, file or address is not of the kind that is needed.
        case wrongKind
        /// Another process already listens at the address.
        case alreadyListening
        /// A name (user, group, credential) is not known here.
        case notFound
        /// Larger than allowed.
        case tooLarge
    }

    package let code: Code
    /// Says what to do; safe to log.
    package let message: String
    /// The error number of the failed call, 0 when there was none.
    package let errno: Int32

    package init(_ code: Code, _ message: String, errno: Int32 = 0) {
        self.code = code
        self.message = message
        self.errno = errno
    }

    /// A failed system call, with the words of strerror(3).
    package static func system(_ what: String, _ number: Int32) -> HostError {
        HostError(.system, "\(what): \(String(cString: strerror(number)))", errno: number)
    }

    package var description: String { message }
}
