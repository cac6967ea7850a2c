/// What can go wrong below the barrier. Messages say what to do; they hold paths and codes, never a row's content.
package struct StorageError: Error, Sendable, Equatable {
    /// The closed list of causes.
    package enum Code: Sendable, Equatable {
        /// The state folder is missing, not ours, or open to others.
        case folderUnusable
        /// Another process has the same state open.
        case inUse
        /// No space or quota left.
        case full
        /// The kernel refused to read, write or sync.
        case ioFailure
        /// The database file is damaged, or not a database.
        case corrupt
        /// The database was written by a newer version.
        case tooNew
        /// The file or file system does not let itself be written.
        case readOnly
        /// Another connection holds a lock for too long.
        case busy
        /// A row is larger than the engine stores.
        case tooLarge
        /// The process is out of memory.
        case outOfMemory
        /// The store has been closed.
        case closed
        /// The engine answered with something that correct calls never see.
        case unexpected
    }

    package let code: Code
    /// Safe to log and to show.
    package let message: String
    /// The engine's extended result code, or an errno for files; 0 when none.
    package let detail: Int32

    package init(_ code: Code, _ message: String, detail: Int32 = 0) {
        self.code = code
        self.message = message
        self.detail = detail
    }

    package static func == (left: Self, right: Self) -> Bool { left.code == right.code }

    static let closed = StorageError(.closed, "the store is closed: the daemon is stopping")
}
