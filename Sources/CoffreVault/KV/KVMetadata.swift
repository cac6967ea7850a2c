internal import CoffreCrypto
internal import CoffreWire

/// What is known of a secret besides its values: versions, limits, labels.
struct KVMetadata: Sendable {
    struct Version: Sendable {
        let number: Int64
        let created: Timestamp
        var deleted: Timestamp?
        var isDestroyed = false

        /// Whether the value may be given out at `now`.
        func isReadable(at now: Timestamp) -> Bool { !isDestroyed && (deleted.map { $0 > now } ?? true) }
    }

    var created: Timestamp
    var updated: Timestamp
    var current: Int64 = 0
    /// 0 means the default of the mount.
    var maximumVersions: Int64 = 0
    var requiresCheckAndSet = false
    /// Seconds; 0 never.
    var deleteVersionAfter: Int64 = 0
    var custom: [JSONValue.Member] = []
    /// Counts the changes of this description, without those that writing versions makes.
    var changes: Int64 = 0
    /// Ascending.
    var versions: [Version] = []
    /// Version of the row that holds this; 0 before the first write. Not stored.
    var rowVersion: UInt64 = 0

    init(created: Timestamp) {
        self.created = created
        updated = created
    }

    func version(_ number: Int64) -> Version? {
        if let last = versions.last, last.number == number { return last }
        return versions.first { $0.number == number }
    }

    /// Adds the next version and gives the numbers of those that fall off the end.
    mutating func appendVersion(at now: Timestamp, _ configuration: KVConfiguration) -> (
        version: Version, dropped: [Int64]
    ) {
        current += 1
        updated = now
        var version = Version(number: current, created: now)
        let lifetime = configuration.lifetime(for: self)
        if lifetime > 0 { version.deleted = now.adding(seconds: lifetime) }
        versions.append(version)
        let excess = max(0, versions.count - configuration.versions(for: self))
        let dropped = versions.prefix(excess).map(\.number)
        versions.removeFirst(excess)
        return (version, dropped)
    }

    mutating func change(_ number: Int64, _ body: (inout Version) -> Void) {
        guard let index = versions.firstIndex(where: { $0.number == number }) else { return }
        body(&versions[index])
    }

    // MARK: wire form

    /// The newest version's description as JSON, made when the metadata was read or written: most reads ask for it.
    private(set) var currentDescription: [UInt8] = []

    /// ``describe(_:)`` as JSON.
    func description(of version: Version) -> [UInt8] {
        if version.number == current, !currentDescription.isEmpty { return currentDescription }
        return JSONValue.object(describe(version)).encoded()
    }

    /// The same metadata with its newest description at hand, as the cache keeps it.
    func prepared() -> KVMetadata {
        var copy = self
        copy.currentDescription = version(current).map { JSONValue.object(describe($0)).encoded() } ?? []
        return copy
    }

    /// The five keys of one version, in clients' order.
    func describe(_ version: Version) -> [JSONValue.Member] {
        [
            .init("created_time", .string(version.created.rfc3339)),
            .init("custom_metadata", custom.isEmpty ? .null : .object(custom)),
            .init("deletion_time", .string(version.deleted?.rfc3339 ?? "")),
            .init("destroyed", .bool(version.isDestroyed)), .init("version", .integer(version.number)),
        ]
    }

    var json: JSONValue {
        .object([
            "cas_required": .bool(requiresCheckAndSet), "created_time": .string(created.rfc3339),
            "current_metadata_version": .integer(changes), "current_version": .integer(current),
            "custom_metadata": custom.isEmpty ? .null : .object(custom),
            "delete_version_after": .string(GoDuration.text(deleteVersionAfter)),
            "max_versions": .integer(maximumVersions), "metadata_cas_required": .bool(false),
            // 0 until a version has fallen off the end, as clients know it.
            "oldest_version": .integer(versions.first.map { $0.number > 1 ? $0.number : 0 } ?? 0),
            "updated_time": .string(updated.rfc3339),
            "versions": .object(
                versions.map { version in
                    JSONValue.Member(
                        String(version.number),
                        .object([
                            "created_time": .string(version.created.rfc3339),
                            "deletion_time": .string(version.deleted?.rfc3339 ?? ""),
                            "destroyed": .bool(version.isDestroyed),
                        ])
                    )
                }
            ),
        ])
    }

    // MARK: storage form

    var encoded: SharedSecret {
        let list = versions.map { version in
            JSONValue.array([
                .integer(version.number), .integer(version.created.nanoseconds),
                .integer(version.deleted?.nanoseconds ?? 0), .integer(version.isDestroyed ? 1 : 0),
            ])
        }
        let value = JSONValue.object([
            "created": .integer(created.nanoseconds), "updated": .integer(updated.nanoseconds),
            "current": .integer(current), "max": .integer(maximumVersions), "cas": .bool(requiresCheckAndSet),
            "after": .integer(deleteVersionAfter), "custom": .object(custom), "versions": .array(list),
            "changes": .integer(changes),
        ])
        return SharedSecret(copying: value.encoded())
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(decoding stored: SharedSecret) throws(VaultError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try stored.withBytes { bytes throws(JSONError) in JSONValue(try JSONView(bytes)) }
        } catch {
            throw VaultError(.storageCorrupt, "the metadata of a secret cannot be read", cause: error)
        }
        guard let created = value["created"]?.integer, let current = value["current"]?.integer,
            let list = value["versions"]?.array
        else { throw VaultError(.storageCorrupt, "the metadata of a secret cannot be read") }
        self.created = Timestamp(nanoseconds: created)
        updated = Timestamp(nanoseconds: value["updated"]?.integer ?? created)
        self.current = current
        maximumVersions = value["max"]?.integer ?? 0
        requiresCheckAndSet = value["cas"]?.bool ?? false
        deleteVersionAfter = value["after"]?.integer ?? 0
        custom = value["custom"]?.members ?? []
        changes = value["changes"]?.integer ?? 0
        versions = list.compactMap { item in
            guard let parts = item.array?.compactMap(\.integer), parts.count == 4 else { return nil }
            return Version(
                number: parts[0],
                created: Timestamp(nanoseconds: parts[1]),
                deleted: parts[2] == 0 ? nil : Timestamp(nanoseconds: parts[2]),
                isDestroyed: parts[3] != 0
            )
        }
    }
}

/// Where the secrets of a KV mount lie in the barrier.
struct KVPlace: Sendable {
    let mount: Mount
    /// Path inside the mount, without slashes at its ends.
    let path: [UInt8]

    private func prefix(_ path: some Collection<UInt8>) -> [UInt8] { Array(mount.id.utf8) + [0x2f] + path }

    /// Cache and lock key.
    var key: [UInt8] { prefix(path) }

    var metadata: BarrierKey {
        let slash = path.lastIndex(of: 0x2f)
        let folder = slash.map { path[..<$0] } ?? []
        return BarrierKey(
            namespace: .kvMetadata,
            parent: prefix(folder),
            name: Array(path[(slash.map { $0 + 1 } ?? 0)...])
        )
    }

    func value(_ version: Int64) -> BarrierKey {
        BarrierKey(namespace: .kvData, parent: prefix(path), name: Array(String(version).utf8))
    }

    /// The parent of the rows of every version.
    var values: [UInt8] { prefix(path) }

    /// What the mount says of all its secrets.
    static func configuration(_ mount: Mount) -> BarrierKey {
        BarrierKey(namespace: .kvMetadata, parent: Array(mount.id.utf8), name: Array("config".utf8))
    }

    /// The parent whose children a listing of this path shows.
    var folder: [UInt8] { prefix(path) }

    /// Folder entries from the top down: each with the row that lists it, and the parent of its own children.
    var folders: [(entry: BarrierKey, children: [UInt8])] {
        var result: [(entry: BarrierKey, children: [UInt8])] = []
        var start = path.startIndex
        while let slash = path[start...].firstIndex(of: 0x2f) {
            let parent = start == path.startIndex ? prefix([]) : prefix(path[..<(start - 1)])
            let entry = BarrierKey(namespace: .kvMetadata, parent: parent, name: Array(path[start...slash]))
            result.append((entry, prefix(path[..<slash])))
            start = slash + 1
        }
        return result
    }
}
