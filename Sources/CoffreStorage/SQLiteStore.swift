internal import Glibc
internal import Synchronization

/// Rows in an embedded SQLite database: one writing thread with group commit, reads on the caller's thread.
package final class SQLiteStore: KeyValueStore {
    package struct Configuration: Sendable {
        /// An existing folder with mode 0700 that belongs to this process's uid.
        package var folder: String
        /// Name of the database file in it; `vault.db` by default.
        package var fileName: String
        /// Upper limit of the file in pages of 4 KiB; none by default.
        package var maximumPages: Int?

        package init(folder: String, fileName: String = "vault.db", maximumPages: Int? = nil) {
            self.folder = folder
            self.fileName = fileName
            self.maximumPages = maximumPages
        }
    }

    private struct Running {
        let folder: StorageFolder
        let thread: pthread_t
    }

    private let loop: StorageCommitLoop
    private let readers: SQLiteReaderPool
    private let running: Mutex<Running?>

    /// Checks and locks the folder, opens or creates the database, starts the storage thread.
    /// - Throws: ``StorageError``: `.folderUnusable`, `.inUse`, `.corrupt`, `.tooNew`, `.full`, `.ioFailure`.
    package init(_ configuration: Configuration) throws(StorageError) {
        let folder = try StorageFolder(path: configuration.folder)
        let path = try folder.prepareFile(configuration.fileName)
        let writer = try SQLiteWriter(path: path, maximumPages: configuration.maximumPages)
        readers = try SQLiteReaderPool(path: path)
        loop = StorageCommitLoop(writer: writer, readers: readers)
        var thread = pthread_t()
        let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
            if let argument { Unmanaged<StorageCommitLoop>.fromOpaque(argument).takeRetainedValue().run() }
            return nil
        }
        let argument = Unmanaged.passRetained(loop)
        let status = pthread_create(&thread, nil, body, argument.toOpaque())
        guard status == 0 else {
            argument.release()
            throw StorageError(.outOfMemory, "the system gave no thread for the storage", detail: status)
        }
        running = Mutex(Running(folder: folder, thread: thread))
    }

    deinit { close() }

    package func get(_ address: StorageAddress) throws(StorageError) -> StorageCell? {
        try readers.get(address)
    }

    package func range(namespace: UInt8, parent: StorageHash, limit: Int) throws(StorageError) -> [StorageRow] {
        try readers.range(namespace: namespace, parent: parent, limit: limit)
    }

    package func attach(_ hook: any StorageGroupHook) { loop.attach(hook) }

    package func submit(_ work: any StorageWork) { loop.submit(work) }

    package func drain() { loop.drain() }

    package func requestCompaction() { loop.requestCompaction() }

    package func close() {
        loop.stop()
        // The lock of the folder goes last, after the final checkpoint.
        let closing = running.withLock { state in
            let taken = state
            state = nil
            return taken
        }
        guard let closing else { return }
        if pthread_equal(closing.thread, pthread_self()) != 0 {
            pthread_detach(closing.thread)
        } else {
            pthread_join(closing.thread, nil)
        }
    }
}
