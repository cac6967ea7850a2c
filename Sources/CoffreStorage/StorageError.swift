/// What the storage can refuse. Messages name files and what to do, never a value.
package struct StorageError: Error, Sendable, CustomStringConvertible {
    /// The closed list of causes.
    package enum Code: String, Sendable {
        /// An expectation of the batch does not hold: somebody else changed the row.
        case conflict
        /// Disk or quota is full.
        case full
        /// Input or output failed; the change may or may not be on disk, and was taken back.
        case io
        /// The file is not a database, or its pages contradict each other.
        case corrupt
        /// Another process works on the same state.
        case alreadyOpen
        /// A file or folder is not what it must be.
        case unsafePath
        /// The storage has been closed.
        case closed
        /// The batch's own closure refused.
        case refused
        /// Anything else the library says.
        case failed
    }

    package let code: Code
    package let message: String
    /// What a batch's closure threw, for `.refused`.
    package let cause: (any Error)?

    package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }
}
