internal import CoffreCrypto

extension BarrierKey {
    static let tokenKey = BarrierKey(namespace: .system, parent: [], name: Array("token-key".utf8))
    static let expiryCursor = BarrierKey(namespace: .system, parent: [], name: Array("expiry-cursor".utf8))
    /// There from the moment a restore is confirmed until everything that was revoked since is revoked again.
    static let restoreMarker = BarrierKey(namespace: .system, parent: [], name: Array("restore".utf8))

    static func mount(_ path: String) -> BarrierKey {
        BarrierKey(namespace: .mount, parent: [], name: Array(path.utf8))
    }

    static let removedMounts = Array("removed".utf8)

    /// A mount that was disabled and whose rows are still being deleted.
    static func removedMount(_ id: String) -> BarrierKey {
        BarrierKey(namespace: .mount, parent: removedMounts, name: Array(id.utf8))
    }
}

/// Which path belongs to whom: no mount lies inside another.
struct MountTable: Sendable {
    /// Longest path first.
    private(set) var mounts: [Mount]

    /// What `sys/` and its like may not be covered by.
    private static let reserved = ["sys/", "auth/", "identity/", "cubbyhole/", "audit/", "connectors/"]

    init(_ stored: [Mount]) {
        mounts = stored
        // Known to every vault; a row exists once they are tuned.
        for (type, description) in [(Mount.Kind.token, "tokens"), (.peer, "rights of local processes")]
        where !mounts.contains(where: { $0.type == type }) {
            mounts.append(
                Mount(
                    path: "auth/\(type.rawValue)/",
                    type: type,
                    id: "auth-\(type.rawValue)",
                    accessor: "auth_\(type.rawValue)",
                    tuning: MountTuning(description: description)
                )
            )
        }
        sort()
    }

    private mutating func sort() { mounts.sort { ($0.path.utf8.count, $1.path) > ($1.path.utf8.count, $0.path) } }

    /// The mounts that are there from the start.
    static func initial() -> [Mount] {
        var secret = Mount(path: "secret/", type: .kv, tuning: MountTuning(description: "versioned secrets"))
        secret.tuning.options = ["version": "2"]
        return [
            secret,
            Mount(
                path: "database/",
                type: .database,
                tuning: MountTuning(description: "database logins made on demand")
            ),
        ]
    }

    /// The mount that `path` lies under, or is without its slash.
    func mount(of path: [UInt8]) -> Mount? {
        mounts.first { path.starts(with: $0.path.utf8) || path.elementsEqual($0.path.utf8.dropLast()) }
    }

    func mount(at path: String) -> Mount? { mounts.first { $0.path.utf8.elementsEqual(path.utf8) } }

    func mount(id: String) -> Mount? { mounts.first { $0.id == id } }

    func mount(accessor: String) -> Mount? { mounts.first { $0.accessor == accessor } }

    var secrets: [Mount] { mounts.filter { !$0.type.isAuth }.sorted { $0.path < $1.path } }
    var auths: [Mount] { mounts.filter { $0.type.isAuth }.sorted { $0.path < $1.path } }

    mutating func put(_ mount: Mount) {
        mounts.removeAll { $0.id == mount.id }
        mounts.append(mount)
        sort()
    }

    mutating func remove(_ mount: Mount) { mounts.removeAll { $0.id == mount.id } }

    /// A mount's path from what a client wrote, with one trailing slash.
    /// - Throws: ``VaultError`` `.badRequest`.
    static func path(_ text: String, isAuth: Bool) throws(VaultError) -> String {
        var text = Substring(text)
        while text.last == "/" { text.removeLast() }
        while text.first == "/" { text.removeFirst() }
        let segments = text.utf8.split(separator: 0x2f, omittingEmptySubsequences: false)
        let isFine = segments.allSatisfy { segment in
            !segment.isEmpty && segment.count <= 128 && segment.first != 0x2e && segment.last != 0x2e
                && segment.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x2a && $0 != 0x2b && $0 != 0x25 }
        }
        guard !text.isEmpty, isFine, text.utf8.count <= 256, segments.count <= 8 else {
            throw .badRequest(
                "a mount path has up to eight parts of up to 128 visible ASCII characters without * + and %, and no part "
                    + "begins or ends with a full stop"
            )
        }
        return (isAuth ? "auth/" : "") + text + "/"
    }

    /// - Throws: ``VaultError`` `.badRequest` when something is or belongs there already.
    func checkFree(_ path: String, isAuth: Bool) throws(VaultError) {
        if !isAuth, Self.reserved.contains(where: { path.hasPrefix($0) }) {
            throw .badRequest("cannot mount \"\(path)\"")
        }
        if let taken = mounts.first(where: { $0.path.hasPrefix(path) || path.hasPrefix($0.path) }) {
            throw .badRequest("path is already in use at \(taken.path)")
        }
        guard mounts.count < 1000 else { throw .badRequest("there are 1000 mounts already") }
    }
}
