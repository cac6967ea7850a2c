import CoffreStorage
import Foundation
import Synchronization

/// A private folder that goes with the object.
final class StorageTestFolder: Sendable {
    let path: String

    init() throws {
        var template = Array((NSTemporaryDirectory() + "/coffre-test-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw CocoaError(.fileWriteUnknown) }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func open(maximumPages: Int? = nil) throws(StorageError) -> SQLiteStore {
        try SQLiteStore(SQLiteStore.Configuration(folder: path, maximumPages: maximumPages))
    }

    func mode(_ name: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path + "/" + name)
        return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1
    }
}

func hash(_ number: UInt64) -> StorageHash {
    var bytes = [UInt8](repeating: 0, count: 16)
    withUnsafeBytes(of: number.bigEndian) { bytes.replaceSubrange(8..<16, with: $0) }
    return StorageHash(bytes)!
}

func address(_ namespace: UInt8 = 1, _ parent: UInt64 = 0, _ name: UInt64) -> StorageAddress {
    StorageAddress(namespace: namespace, parent: hash(parent), name: hash(name))
}

func row(_ address: StorageAddress, version: UInt64 = 1, _ value: [UInt8] = [1, 2, 3]) -> StorageRow {
    StorageRow(address: address, version: version, label: [9], value: value)
}

extension SQLiteStore {
    func put(_ rows: [StorageRow], expect: StorageBatch.Expectation = .any) throws {
        try commitAndWait(rows.map { .put($0, expect: expect) })
    }
}

/// Counts groups and gives them numbers, without keys.
final class CountingHook: StorageGroupHook {
    private let state = Mutex((groups: 0, committed: 0, deliveries: 0))

    var counts: (groups: Int, committed: Int, deliveries: Int) { state.withLock { $0 } }

    func groupWillBegin() { state.withLock { $0.groups += 1 } }

    func groupWillCommit(in transaction: any StorageTransaction, changed: Bool) throws(StorageError) -> UInt64 {
        state.withLock { UInt64($0.committed + 1) }
    }

    func groupDidEnd(_ end: StorageGroupEnd) {
        if case .committed = end { state.withLock { $0.committed += 1 } }
    }

    func deliver(_ completions: @escaping @Sendable () -> Void) {
        state.withLock { $0.deliveries += 1 }
        completions()
    }
}

/// Work that occupies the storage thread until it is let go, so that what is queued behind it forms one group.
final class GateWork: StorageWork {
    private let semaphore = DispatchSemaphore(value: 0)
    private let entered = DispatchSemaphore(value: 0)

    func apply(in transaction: any StorageTransaction) throws(StorageError) -> StorageVerdict {
        entered.signal()
        semaphore.wait()
        return .accepted
    }

    func complete(_ outcome: StorageOutcome) {}

    /// Waits until the storage thread stands at the gate.
    func waitUntilEntered() { entered.wait() }

    func open() { semaphore.signal() }
}
