import CoffreCrypto
import CoffreStorage
import CoffreVault
import Foundation

/// A private folder that goes with the object.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array((NSTemporaryDirectory() + "/coffre-test-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw CocoaError(.fileWriteUnknown) }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The bytes of all files of the folder whose name begins with `prefix`.
    func contents(prefix: String) throws -> Data {
        var all = Data()
        for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasPrefix(prefix) {
            all += try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
        }
        return all
    }
}

/// An initialised, unsealed vault in a folder of its own.
final class BarrierFixture {
    let folder: TemporaryFolder
    let store: SQLiteStore
    let barrier: Barrier
    let seal: SealStore
    let shares: [SharedSecret]

    init(encryptionLimit: UInt64 = 1 << 31, maximumPages: Int? = nil) throws {
        folder = try TemporaryFolder()
        store = try SQLiteStore(SQLiteStore.Configuration(folder: folder.path, maximumPages: maximumPages))
        barrier = Barrier(store: store, encryptionLimit: encryptionLimit)
        seal = SealStore(store: store, barrier: barrier)
        shares = try seal.initialize(type: .shamir, shares: 1, threshold: 1).shares
    }

    deinit { store.close() }

    func unseal() throws { _ = try seal.submit(shares[0]) }

    func put(_ name: String, _ value: String, in parent: String = "folder") async throws {
        try await barrier.commit([.put(key(name, in: parent), secret(value), expect: .any)])
    }

    func value(_ name: String, in parent: String = "folder") throws -> String? {
        try barrier.get(key(name, in: parent)).map { text($0.value) }
    }
}

func key(_ name: String, in parent: String = "folder", _ namespace: StorageNamespace = .kvData) -> BarrierKey {
    BarrierKey(namespace: namespace, parent: Array(parent.utf8), name: Array(name.utf8))
}

func secret(_ text: String) -> SharedSecret { SharedSecret(copying: Array(text.utf8)) }

func text(_ secret: SharedSecret) -> String { secret.withBytes { String(decoding: $0, as: UTF8.self) } }
