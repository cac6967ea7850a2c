import CoffreCrypto
import CoffreWire
import Testing

/// The container of snapshots: one form, and nothing else.
struct SnapshotContainerTests {
    private static let database = [UInt8]("SQLite format 3".utf8) + [UInt8](repeating: 7, count: 1300)

    private static func manifest(_ change: (inout SnapshotManifest) -> Void = { _ in }) -> SnapshotManifest {
        var manifest = SnapshotManifest(
            vault: String(repeating: "0a", count: 16),
            generation: 42,
            created: 1_795_000_000,
            software: "0.1.0",
            logOrigin: "host.example/coffre",
            logSize: 7,
            logLeaf: String(repeating: "1b", count: 32),
            databaseBytes: database.count,
            databaseHash: Hex.encode(SHA256.hash(database).bytes),
            sealType: "shamir"
        )
        manifest.mac = String(repeating: "2c", count: 32)
        change(&manifest)
        return manifest
    }

    private static func archive(_ manifest: SnapshotManifest) -> [UInt8] {
        let hash = Hex.encode(SHA256.hash(manifest.encoded).bytes)
        return SnapshotContainer.head(manifest) + database + SnapshotContainer.tail(manifest, manifestHash: hash)
    }

    /// Reads in pieces of `size` bytes.
    private static func read(_ bytes: [UInt8], pieces size: Int) throws -> (SnapshotReader.Ending, [UInt8]) {
        var reader = SnapshotReader()
        var database: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            try bytes.withUnsafeBytes { all in
                try reader.feed(UnsafeRawBufferPointer(rebasing: all[start..<min(start + size, all.count)])) {
                    database += $0
                }
            }
        }
        return (try reader.finish(), database)
    }

    @Test(arguments: [1, 7, 511, 512, 513, 4096, 1 << 20])
    func whatIsWrittenIsReadInPiecesOfAnySize(size: Int) throws {
        let manifest = Self.manifest()
        let (ending, database) = try Self.read(Self.archive(manifest), pieces: size)
        #expect(ending.manifest == manifest)
        #expect(ending.manifestBytes == manifest.encoded)
        #expect(database == Self.database)
        #expect(String(decoding: ending.sums, as: UTF8.self).hasSuffix("  coffre.db\n"))
    }

    @Test func aPrefixIsNeverWhole() throws {
        let archive = Self.archive(Self.manifest())
        for length in 0..<archive.count {
            #expect(throws: SnapshotError.self) { _ = try Self.read(Array(archive.prefix(length)), pieces: 1000) }
        }
        #expect(throws: SnapshotError.self) { _ = try Self.read(archive + [0], pieces: 1000) }
    }

    @Test func whatParsesEncodesToTheSameBytes() throws {
        let archive = Self.archive(Self.manifest())
        var random = SystemRandomNumberGenerator()
        var read = 0
        for _ in 0..<4000 {
            var changed = archive
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            guard let (ending, database) = try? Self.read(changed, pieces: 4096) else { continue }
            read += 1
            let head = SnapshotContainer.head(ending.manifest)
            #expect(Array(changed.prefix(head.count)) == head)
            #expect(Array(changed[head.count..<head.count + database.count]) == database)
            #expect(ending.manifest.encoded == ending.manifestBytes)
        }
        #expect(read > 0, "changes inside of the database are seen by its hash alone")
    }

    /// Each is a manifest whose members a vault never writes.
    @Test(arguments: [
        #"{"format":2}"#, "[]", "{}", "", #"{"format":1,"vault":"00"}"#,
    ])
    func anImpossibleManifestIsRefused(text: String) {
        #expect(throws: SnapshotError.self) { _ = try SnapshotManifest(decoding: Array(text.utf8)) }
    }

    @Test func aManifestHasOneForm() throws {
        let text = String(decoding: Self.manifest().encoded, as: UTF8.self)
        #expect(try SnapshotManifest(decoding: Array(text.utf8)) == Self.manifest())
        let others = [
            text + "\n", " " + text, text.replacing(",", with: ", "), text.replacing("\"format\":1,", with: ""),
            text.replacing("42", with: "042"), text.replacing("42", with: "-1"), text.replacing("0a0a", with: "0A0a"),
            text.replacing("}\n", with: ",\"more\":1}\n"),
            text.replacing(#""generation":42"#, with: #""generation":"42""#),
        ]
        for other in others {
            #expect(other != text)
            #expect(throws: SnapshotError.self) { _ = try SnapshotManifest(decoding: Array(other.utf8)) }
        }
    }

    @Test func partsOfDifferentSnapshotsDoNotFit() throws {
        let later = Self.manifest { $0.created += 1 }
        let first = Self.manifest()
        let hash = Hex.encode(SHA256.hash(first.encoded).bytes)
        let mixed = SnapshotContainer.head(first) + Self.database + SnapshotContainer.tail(later, manifestHash: hash)
        #expect(throws: SnapshotError.self) { _ = try Self.read(mixed, pieces: 4096) }
    }
}
