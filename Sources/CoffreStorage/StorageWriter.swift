internal import Glibc
internal import Synchronization

/// One thread that owns the writing connection: whatever waits shares one transaction and one sync.
final class StorageWriter: Sendable {
    private struct Queue {
        var waiting: [SQLiteStore.Pending] = []
        var isClosing = false
        var isClosed = false
    }

    /// What only the thread touches.
    private final class Owned {
        let folder: StateFolder
        let connection: SQLiteConnection

        init(folder: consuming StateFolder, connection: SQLiteConnection) {
            self.folder = folder
            self.connection = connection
        }
    }

    private let queue = Mutex(Queue())
    private let sealer = Mutex<(any TransactionSealer)?>(nil)
    private let wake = WakeUp()
    private let ended = WakeUp()
    private let didChange: @Sendable ([RowAddress]) -> Void
    private let deliver: SQLiteStore.Delivery

    init(
        folder: consuming StateFolder,
        connection: SQLiteConnection,
        didChange: @escaping @Sendable ([RowAddress]) -> Void,
        deliver: @escaping SQLiteStore.Delivery
    ) {
        self.didChange = didChange
        self.deliver = deliver
        nonisolated(unsafe) let owned = Owned(folder: folder, connection: connection)  // The thread alone uses it.
        WorkerThread.start { [self] in
            while let group = next() { commit(group, owned.connection) }
            queue.withLock { $0.isClosed = true }
            ended.signal()
        }
    }

    func setSealer(_ new: (any TransactionSealer)?) { sealer.withLock { $0 = new } }

    func enqueue(_ pending: SQLiteStore.Pending) {
        let isRefused = queue.withLock { queue in
            if queue.isClosing { return true }
            queue.waiting.append(pending)
            return false
        }
        if isRefused {
            deliver { pending.completion(.failure(StorageError(.closed, "the storage is closed"))) }
        } else {
            wake.signal()
        }
    }

    /// Returns when everything queued is durable or refused.
    func close() {
        queue.withLock { $0.isClosing = true }
        wake.signal()
        while !queue.withLock({ $0.isClosed }) { ended.wait() }
    }

    private func next() -> [SQLiteStore.Pending]? {
        while true {
            let (group, isClosing) = queue.withLock { queue in
                let group = queue.waiting
                queue.waiting.removeAll(keepingCapacity: true)
                return (group, queue.isClosing)
            }
            if !group.isEmpty { return group }
            if isClosing { return nil }
            wake.wait()
        }
    }

    private func commit(_ group: [SQLiteStore.Pending], _ connection: SQLiteConnection) {
        var results: [Result<UInt64, StorageError>] = []
        let sealer = sealer.withLock { $0 }
        do throws(StorageError) {
            guard let sealer else { throw StorageError(.closed, "the vault is sealed") }
            try connection.execute("BEGIN IMMEDIATE")
            var effects: [RowEffect] = []
            for pending in group {
                results.append(try attempt(pending, connection, &effects))
            }
            let sealed: (meta: [UInt8], generation: UInt64)
            do {
                sealed = try sealer.prepare(effects)
            } catch {
                throw StorageError(.refused, "the transaction could not be sealed", cause: error)
            }
            do throws(StorageError) {
                try RowStatements.putMeta(connection, .transaction, sealed.meta)
                try connection.execute("COMMIT")
            } catch {
                sealer.finish(isDurable: false)
                throw error
            }
            sealer.finish(isDurable: true)
            didChange(effects.map(\.address))
            results = results.map { result in result.map { _ in sealed.generation } }
        } catch {
            try? connection.execute("ROLLBACK")
            results = group.map { _ in .failure(error) }
        }
        let completed = Array(zip(group, results))
        deliver {
            for (pending, result) in completed { pending.completion(result) }
        }
    }

    /// One call's changes: refused as a whole before any of them is made.
    private func attempt(
        _ pending: SQLiteStore.Pending,
        _ connection: SQLiteConnection,
        _ effects: inout [RowEffect]
    ) throws(StorageError) -> Result<UInt64, StorageError> {
        for change in pending.changes {
            switch change {
            case .put(let address, let expectation, _), .delete(let address, let expectation):
                guard expectation != .any else { continue }
                let version = try RowStatements.get(connection, address)?.version
                let holds =
                    expectation == .absent ? version == nil : version.map { .version($0) == expectation } ?? false
                guard holds else { return .failure(StorageError(.conflict, "the row was changed at the same time")) }
            case .insertIfAbsent, .deleteIfChildless: continue
            }
        }
        for change in pending.changes {
            if let effect = try apply(change, connection) { effects.append(effect) }
        }
        for (key, value) in pending.meta { try RowStatements.putMeta(connection, key, value) }
        return .success(0)
    }

    private func apply(_ change: RowChange, _ connection: SQLiteConnection) throws(StorageError) -> RowEffect? {
        switch change {
        case .put(let address, _, let seal):
            return try put(address, old: RowStatements.get(connection, address), seal, connection)
        case .insertIfAbsent(let address, let seal):
            guard try RowStatements.get(connection, address) == nil else { return nil }
            return try put(address, old: nil, seal, connection)
        case .deleteIfChildless(_, let namespace, let parent)
        where try RowStatements.hasChildren(connection, namespace: namespace, parent: parent):
            return nil
        case .delete(let address, _), .deleteIfChildless(let address, _, _):
            guard let old = try RowStatements.get(connection, address) else { return nil }
            try RowStatements.delete(connection, address)
            return RowEffect(address: address, old: old, new: nil)
        }
    }

    private func put(
        _ address: RowAddress,
        old: StoredRow?,
        _ seal: RowChange.Seal,
        _ connection: SQLiteConnection
    ) throws(StorageError) -> RowEffect {
        let version = (old?.version ?? 0) + 1
        let cells: (label: [UInt8], value: [UInt8])
        do {
            cells = try seal(version)
        } catch {
            throw StorageError(.refused, "a row could not be encrypted", cause: error)
        }
        let row = StoredRow(version: version, label: cells.label, value: cells.value)
        try RowStatements.put(connection, address, row)
        return RowEffect(address: address, old: old, new: row)
    }
}

/// A counting semaphore: threads sleep until they are told.
package final class WakeUp: Sendable {
    nonisolated(unsafe) private let semaphore: UnsafeMutablePointer<sem_t>  // sem_overview(7): threads may share it.

    package init() {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    /// Lets one `wait()` pass, now or later.
    package func signal() { sem_post(semaphore) }

    package func wait() { while sem_wait(semaphore) != 0, errno == EINTR {} }
}

/// A detached POSIX thread.
package enum WorkerThread {
    private final class Body {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    package static func start(_ run: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let body = Unmanaged.passRetained(Body(run))
        let code = pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            },
            body.toOpaque()
        )
        precondition(code == 0, "no thread could be started: errno \(code)")
        pthread_detach(thread)
    }
}
