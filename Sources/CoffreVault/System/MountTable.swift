internal import CoffreCrypto
internal import CoffreWire

extension BarrierKey {
    static let tokenKey = BarrierKey(namespace: .system, parent: [], name: Array("token-key".utf8))
    static let expiryCursor = BarrierKey(namespace: .system, parent: [], name: Array("expiry-cursor".utf8))
    /// There from the moment a restore is confirmed until everything that was revoked since is revoked again.
    static let restoreMarker = BarrierKey(namespace: .system, parent: [], name: Array("restore".utf8))

    static func mount(_ path: String) -> BarrierKey {
        BarrierKey(namespace: .mount, parent: [], name: Array(path.utf8))
    }
}

/// The mounts that are there from the start.
enum MountTable {
    static func initial() -> [Mount] {
        [
            Mount(
                path: "secret/",
                type: .kv,
                id: Random.base62(16),
                accessor: "kv_" + Random.base62(8),
                description: "versioned secrets"
            ),
            Mount(
                path: "database/",
                type: .database,
                id: Random.base62(16),
                accessor: "database_" + Random.base62(8),
                description: "database logins made on demand"
            ),
        ]
    }
}

extension Mount {
    var encoded: SharedSecret {
        let value: JSONValue = [
            "type": .string(type.rawValue), "id": .string(id), "accessor": .string(accessor),
            "description": .string(description),
        ]
        return SharedSecret(copying: value.encoded())
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(path: String, decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "the mount table")
        guard let type = value["type"]?.string.flatMap({ Kind(rawValue: $0) }), let id = value["id"]?.string else {
            throw VaultError(.storageCorrupt, "the mount table cannot be read")
        }
        self.init(
            path: path,
            type: type,
            id: id,
            accessor: value["accessor"]?.string ?? "",
            description: value["description"]?.string ?? ""
        )
    }
}
