/// What a snapshot says of itself: the file `manifest.json` in its container.
///
/// Its text has one form: members in a fixed order, no white space. What parses encodes to the same bytes.
package struct SnapshotManifest: Sendable, Equatable {
    /// The only format there is.
    package static let format = 1
    /// Longest text that is read, in bytes.
    package static let maximumBytes = 16_384
    /// Largest database, in bytes: what eleven octal digits of a ustar header hold.
    package static let maximumDatabaseBytes = 0o77_777_777_777

    /// Id of the vault, 32 hex digits.
    package var vault: String
    /// Number of the last transaction in the database.
    package var generation: UInt64
    /// When it was made, seconds since 1970.
    package var created: Int64
    /// Version of the software that made it.
    package var software: String
    /// Name of the audit log that the database belongs to.
    package var logOrigin: String
    /// Records of the log when the copy began: whatever an earlier record tells is in the database.
    package var logSize: UInt64
    /// Leaf hash of the last of these records, 64 hex digits.
    package var logLeaf: String
    /// Length of `coffre.db` in bytes.
    package var databaseBytes: Int
    /// SHA-256 of `coffre.db`, 64 hex digits.
    package var databaseHash: String
    /// `shamir` or `credential`.
    package var sealType: String
    /// HMAC-SHA-256 over ``authenticated`` under a key of the vault, 64 hex digits; empty before it is made.
    package var mac: String

    package init(
        vault: String,
        generation: UInt64,
        created: Int64,
        software: String,
        logOrigin: String,
        logSize: UInt64,
        logLeaf: String,
        databaseBytes: Int,
        databaseHash: String,
        sealType: String
    ) {
        self.vault = vault
        self.generation = generation
        self.created = created
        self.software = software
        self.logOrigin = logOrigin
        self.logSize = logSize
        self.logLeaf = logLeaf
        self.databaseBytes = databaseBytes
        self.databaseHash = databaseHash
        self.sealType = sealType
        mac = ""
    }

    /// The text without `mac`: what the vault authenticates.
    package var authenticated: [UInt8] { JSONValue.object(members).encoded() }

    /// The bytes of `manifest.json`, with a line feed at the end.
    package var encoded: [UInt8] { json.encoded() + [0x0a] }

    /// The same as a value.
    package var json: JSONValue { .object(members + [.init("mac", .string(mac))]) }

    private var members: [JSONValue.Member] {
        [
            .init("format", .integer(Self.format)), .init("vault", .string(vault)),
            .init("generation", .integer(generation)), .init("created", .integer(created)),
            .init("software", .string(software)),
            .init(
                "log",
                ["origin": .string(logOrigin), "size": .integer(logSize), "leaf": .string(logLeaf)]
            ),
            .init(
                "database",
                [
                    "name": .string(SnapshotContainer.databaseName), "bytes": .integer(databaseBytes),
                    "sha256": .string(databaseHash),
                ]
            ),
            .init("seal", ["type": .string(sealType), "version": .integer(1)]),
        ]
    }

    /// - Parameter text: the bytes of `manifest.json`.
    /// - Throws: ``SnapshotError``.
    package init(decoding text: [UInt8]) throws(SnapshotError) {
        guard text.count <= Self.maximumBytes, let value = try? JSONValue(parsing: text) else {
            throw SnapshotError("its manifest is not JSON")
        }
        guard value["format"]?.integer == Int64(Self.format) else {
            throw SnapshotError("its format is unknown: it needs a newer version of this program")
        }
        func hex(_ value: JSONValue?, _ digits: Int) -> String? {
            guard let text = value?.string, text.utf8.count == digits,
                text.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
            else { return nil }
            return text
        }
        guard let vault = hex(value["vault"], 32),
            let generation = value["generation"]?.integer, generation >= 0,
            let created = value["created"]?.integer, (0...0o77_777_777_777).contains(created),
            let software = value["software"]?.string, software.utf8.count <= 64,
            let origin = value["log"]?["origin"]?.string, (1...200).contains(origin.utf8.count),
            let size = value["log"]?["size"]?.integer, size > 0,
            let leaf = hex(value["log"]?["leaf"], 64),
            let bytes = value["database"]?["bytes"]?.integer, (512...Int64(Self.maximumDatabaseBytes)).contains(bytes),
            let hash = hex(value["database"]?["sha256"], 64),
            let seal = value["seal"]?["type"]?.string, seal.utf8.count <= 32,
            let mac = hex(value["mac"], 64)
        else { throw SnapshotError("its manifest lacks a member, or one has an impossible value") }
        self.init(
            vault: vault,
            generation: UInt64(generation),
            created: created,
            software: software,
            logOrigin: origin,
            logSize: UInt64(size),
            logLeaf: leaf,
            databaseBytes: Int(bytes),
            databaseHash: hash,
            sealType: seal
        )
        self.mac = mac
        guard encoded == text else { throw SnapshotError("its manifest is not in the one form it can have") }
    }
}

/// Why something is not a whole snapshot. The reason continues "the snapshot cannot be used: ".
package struct SnapshotError: Error, Sendable, Equatable, CustomStringConvertible {
    package let reason: String

    package init(_ reason: String) { self.reason = reason }

    package var description: String { reason }
}
