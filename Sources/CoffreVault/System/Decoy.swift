internal import CoffreCrypto
internal import CoffreWire

extension BarrierKey {
    static let decoys = Array("decoys".utf8)

    /// - Parameter key: of the secret's place.
    static func decoy(_ key: [UInt8]) -> BarrierKey { BarrierKey(namespace: .system, parent: decoys, name: key) }
}

/// A secret that nobody has a reason to ask for: every request for it is marked in its record.
struct Decoy: Sendable {
    /// Longest path, the mount's included, in bytes: records show no longer one in clear.
    static let maximumPathBytes = 512
    static let maximumNoteBytes = 500

    /// Never the path of the mount, which may move.
    let mountID: String
    /// Inside the mount.
    let path: [UInt8]
    /// What it was made to look like; nil for a secret that was there before.
    let kind: DecoyKind?
    let note: String
    let created: Timestamp
    /// Pseudonym of who made it.
    let creator: String

    func place(in mount: Mount) -> KVPlace { KVPlace(mount: mount, path: path) }

    func shownPath(in mount: Mount) -> String { mount.path + String(decoding: path, as: UTF8.self) }

    /// As clients see it.
    func json(in mount: Mount) -> [JSONValue.Member] {
        [
            .init("path", .string(shownPath(in: mount))), .init("like", kind.map { .string($0.rawValue) } ?? .null),
            .init("note", .string(note)), .init("created", .string(created.rfc3339)),
            .init("created_by", .string(creator)),
        ]
    }

    // MARK: storage form

    var key: [UInt8] { Array(mountID.utf8) + [0x2f] + path }

    /// The row of the decoy.
    var row: BarrierMutation {
        let value: JSONValue = [
            "like": .string(kind?.rawValue ?? ""), "note": .string(note), "created": .integer(created.nanoseconds),
            "by": .string(creator),
        ]
        return .put(.decoy(key), SharedSecret(copying: value.encoded()), expect: .any)
    }

    init(place: KVPlace, kind: DecoyKind?, note: String, created: Timestamp, creator: String) {
        mountID = place.mount.id
        path = place.path
        self.kind = kind
        self.note = note
        self.created = created
        self.creator = creator
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(key: [UInt8], decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a decoy")
        guard let slash = key.firstIndex(of: 0x2f), let like = value["like"]?.string,
            let created = value["created"]?.integer
        else { throw VaultError(.storageCorrupt, "a decoy cannot be read") }
        mountID = String(decoding: key[..<slash], as: UTF8.self)
        path = Array(key[(slash + 1)...])
        kind = DecoyKind(rawValue: like)
        note = value["note"]?.string ?? ""
        self.created = Timestamp(nanoseconds: created)
        creator = value["by"]?.string ?? ""
    }
}

/// The decoys of the vault, and every path by which a request reaches one.
final class DecoyTable {
    static let limit = 1000
    /// What clients ask before they ask for a secret.
    static let preflight = "sys/internal/ui/mounts/"
    private static let verbs = ["data", "metadata", "subkeys", "delete", "undelete", "destroy"]

    /// With their mounts, by the keys of their places.
    private(set) var entries: [[UInt8]: (decoy: Decoy, mount: Mount)] = [:]
    /// What a request may ask for, with the path that records show.
    private var paths: [[UInt8]: String] = [:]

    subscript(place: KVPlace) -> Decoy? { entries[place.key]?.decoy }

    /// The decoy that a request for `path` touches, as records name it.
    func touched(by path: [UInt8]) -> String? { paths.isEmpty ? nil : paths[path] }

    private static func paths(of decoy: Decoy, in mount: Mount) -> [[UInt8]] {
        let plain = Array(mount.path.utf8) + decoy.path
        let routes = mount.isVersioned ? verbs.map { Array("\(mount.path)\($0)/".utf8) + decoy.path } : [plain]
        return routes + [Array(preflight.utf8) + plain]
    }

    func put(_ decoy: Decoy, _ mount: Mount) {
        entries[decoy.key] = (decoy, mount)
        let shown = decoy.shownPath(in: mount)
        for path in Self.paths(of: decoy, in: mount) { paths[path] = shown }
    }

    func remove(_ decoy: Decoy) {
        guard let entry = entries.removeValue(forKey: decoy.key) else { return }
        for path in Self.paths(of: decoy, in: entry.mount) { paths[path] = nil }
    }

    func decoys(of mount: Mount) -> [Decoy] {
        entries.values.filter { $0.mount.id == mount.id }.map(\.decoy)
    }

    func removeAll(of mount: Mount) {
        for decoy in decoys(of: mount) { remove(decoy) }
    }

    /// The mount may have another path: so have its decoys.
    func follow(_ mount: Mount) {
        for decoy in decoys(of: mount) {
            remove(decoy)
            put(decoy, mount)
        }
    }
}
