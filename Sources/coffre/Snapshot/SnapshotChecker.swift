import CoffreCrypto
import CoffreWire

/// Reads a snapshot once, in pieces, and vouches for its form and its hashes.
struct SnapshotChecker {
    private var reader = SnapshotReader()
    private var hash = SHA256()

    /// - Parameter database: gets the bytes of the database, in order.
    mutating func feed(
        _ bytes: UnsafeRawBufferPointer,
        database: (UnsafeRawBufferPointer) throws -> Void = { _ in }
    ) throws {
        var hash = hash
        try reader.feed(bytes) { piece in
            hash.update(piece)
            try database(piece)
        }
        self.hash = hash
    }

    /// - Throws: `SnapshotError` when it is cut off or a hash differs.
    mutating func finish() throws -> SnapshotReader.Ending {
        let ending = try reader.finish()
        guard Hex.encode(hash.finish().bytes) == ending.manifest.databaseHash else {
            throw SnapshotError("its database is damaged: SHA-256 differs")
        }
        let manifestHash = Hex.encode(SHA256.hash(ending.manifestBytes).bytes)
        guard SnapshotContainer.sums(ending.manifest, manifestHash: manifestHash) == ending.sums else {
            throw SnapshotError("its manifest is damaged: SHA-256 differs")
        }
        return ending
    }
}

extension Failure {
    /// A file that is no whole snapshot.
    init(_ error: SnapshotError, _ path: String) {
        self.init(
            "the snapshot \(path) cannot be used: \(error.reason)",
            "l'instantané \(path) est inutilisable : \(error.reason)"
        )
    }
}
