internal import CoffreCrypto
internal import CoffreWire

/// The name by which an auth method knows an entity or an external group.
struct IdentityAlias: Sendable {
    let id: String
    var name: String
    var mountAccessor: String
    /// Set by the auth method at login.
    var metadata: [String: String] = [:]
    /// Set by an administrator.
    var customMetadata: [String: String] = [:]
    let created: Timestamp
    var updated: Timestamp

    var stored: JSONValue {
        [
            "id": .string(id), "name": .string(name), "accessor": .string(mountAccessor),
            "metadata": .object(metadata), "custom": .object(customMetadata),
            "created": .integer(created.nanoseconds), "updated": .integer(updated.nanoseconds),
        ]
    }

    init(name: String, mountAccessor: String, at now: Timestamp) {
        id = RequestContext.newUUID()
        self.name = name
        self.mountAccessor = mountAccessor
        created = now
        updated = now
    }

    init?(stored value: JSONValue) {
        guard let id = value["id"]?.string, let name = value["name"]?.string,
            let accessor = value["accessor"]?.string, let created = value["created"]?.integer
        else { return nil }
        self.id = id
        self.name = name
        mountAccessor = accessor
        metadata = value["metadata"]?.texts ?? [:]
        customMetadata = value["custom"]?.texts ?? [:]
        self.created = Timestamp(nanoseconds: created)
        updated = Timestamp(nanoseconds: value["updated"]?.integer ?? created)
    }
}

/// A person or a service.
struct IdentityEntity: Sendable {
    let id: String
    var name: String
    var metadata: [String: String] = [:]
    var policies: [String] = []
    /// Whoever is disabled has no rights, whatever token is sent.
    var isDisabled = false
    var aliases: [IdentityAlias] = []
    let created: Timestamp
    var updated: Timestamp

    init(name: String?, at now: Timestamp) {
        id = RequestContext.newUUID()
        self.name = name ?? "entity_" + id.prefix(8)
        created = now
        updated = now
    }

    var encoded: SharedSecret {
        let value: JSONValue = [
            "name": .string(name), "metadata": .object(metadata), "policies": .strings(policies),
            "disabled": .bool(isDisabled), "aliases": .array(aliases.map(\.stored)),
            "created": .integer(created.nanoseconds), "updated": .integer(updated.nanoseconds),
        ]
        return SharedSecret(copying: value.encoded())
    }

    static func key(_ id: String) -> BarrierKey {
        BarrierKey(namespace: .identity, parent: parent, name: Array(id.utf8))
    }

    static let parent = Array("entity".utf8)

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(id: String, decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "an entity")
        guard let name = value["name"]?.string, let created = value["created"]?.integer else {
            throw VaultError(.storageCorrupt, "an entity cannot be read")
        }
        self.id = id
        self.name = name
        metadata = value["metadata"]?.texts ?? [:]
        policies = value["policies"]?.array?.compactMap(\.string) ?? []
        isDisabled = value["disabled"]?.bool ?? false
        aliases = value["aliases"]?.array?.compactMap { IdentityAlias(stored: $0) } ?? []
        self.created = Timestamp(nanoseconds: created)
        updated = Timestamp(nanoseconds: value["updated"]?.integer ?? created)
    }
}

/// A team: entities and other groups.
struct IdentityGroup: Sendable {
    let id: String
    var name: String
    /// Membership comes from an auth method, by the group's alias.
    let isExternal: Bool
    var metadata: [String: String] = [:]
    var policies: [String] = []
    var memberEntities: [String] = []
    var memberGroups: [String] = []
    var alias: IdentityAlias?
    let created: Timestamp
    var updated: Timestamp
    var changes: Int64 = 0

    init(name: String?, isExternal: Bool, at now: Timestamp) {
        id = RequestContext.newUUID()
        self.name = name ?? "group_" + id.prefix(8)
        self.isExternal = isExternal
        created = now
        updated = now
    }

    var encoded: SharedSecret {
        let value: JSONValue = [
            "name": .string(name), "external": .bool(isExternal), "metadata": .object(metadata),
            "policies": .strings(policies), "entities": .strings(memberEntities), "groups": .strings(memberGroups),
            "alias": alias?.stored ?? .null, "created": .integer(created.nanoseconds),
            "updated": .integer(updated.nanoseconds), "changes": .integer(changes),
        ]
        return SharedSecret(copying: value.encoded())
    }

    static func key(_ id: String) -> BarrierKey {
        BarrierKey(namespace: .identity, parent: parent, name: Array(id.utf8))
    }

    static let parent = Array("group".utf8)

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(id: String, decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a group")
        guard let name = value["name"]?.string, let created = value["created"]?.integer else {
            throw VaultError(.storageCorrupt, "a group cannot be read")
        }
        self.id = id
        self.name = name
        isExternal = value["external"]?.bool ?? false
        metadata = value["metadata"]?.texts ?? [:]
        policies = value["policies"]?.array?.compactMap(\.string) ?? []
        memberEntities = value["entities"]?.array?.compactMap(\.string) ?? []
        memberGroups = value["groups"]?.array?.compactMap(\.string) ?? []
        alias = value["alias"].flatMap { IdentityAlias(stored: $0) }
        self.created = Timestamp(nanoseconds: created)
        updated = Timestamp(nanoseconds: value["updated"]?.integer ?? created)
        changes = value["changes"]?.integer ?? 0
    }
}

extension JSONValue {
    /// An object of texts, sorted by name.
    static func object(_ texts: [String: String]) -> JSONValue {
        .object(texts.sorted { $0.key < $1.key }.map { Member($0.key, .string($0.value)) })
    }

    /// The texts among the members.
    var texts: [String: String] {
        var result: [String: String] = [:]
        for member in members ?? [] { result[member.key] = member.value.string }
        return result
    }

    /// `null` when there is nothing.
    static func orNull(_ names: [String]) -> JSONValue { names.isEmpty ? .null : .strings(names) }
    static func orNull(_ texts: [String: String]) -> JSONValue { texts.isEmpty ? .null : .object(texts) }
}
