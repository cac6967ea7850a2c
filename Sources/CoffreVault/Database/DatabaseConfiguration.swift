internal import CoffreCrypto
internal import CoffreWire

/// `database/config/<name>`: where a database is, and who administers it. The password lies in a row of its own.
struct DatabaseConfiguration: Sendable {
    static let plugin = "postgresql-database-plugin"

    let name: String
    let connectionURL: String
    let username: String
    let allowedRoles: [String]
    /// PEM certificates to trust instead of the system's.
    let rootCertificate: String?
    /// How the administrator's own password is changed; empty for the default.
    var rotationStatements: [String] = []
    /// Which password policy makes the passwords of logins; empty for 32 letters and digits.
    var passwordPolicy = ""

    func allows(_ role: String) -> Bool { allowedRoles.contains("*") || allowedRoles.contains(role) }

    var json: JSONValue {
        [
            "allowed_roles": .strings(allowedRoles),
            "connection_details": ["connection_url": .string(connectionURL), "username": .string(username)],
            "password_policy": .string(passwordPolicy), "plugin_name": .string(Self.plugin), "plugin_version": "",
            "root_credentials_rotate_statements": .strings(rotationStatements),
            "skip_static_role_import_rotation": .bool(false),
        ]
    }

    var encoded: SharedSecret {
        var members: [JSONValue.Member] = [
            .init("url", .string(connectionURL)), .init("username", .string(username)),
            .init("roles", .strings(allowedRoles)),
        ]
        if let rootCertificate { members.append(.init("ca", .string(rootCertificate))) }
        if !rotationStatements.isEmpty { members.append(.init("rotate", .strings(rotationStatements))) }
        if !passwordPolicy.isEmpty { members.append(.init("password_policy", .string(passwordPolicy))) }
        return SharedSecret(copying: JSONValue.object(members).encoded())
    }

    init(name: String, connectionURL: String, username: String, allowedRoles: [String], rootCertificate: String?) {
        self.name = name
        self.connectionURL = connectionURL
        self.username = username
        self.allowedRoles = allowedRoles
        self.rootCertificate = rootCertificate
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(name: String, decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a database configuration")
        guard let url = value["url"]?.string, let username = value["username"]?.string else {
            throw VaultError(.storageCorrupt, "a database configuration cannot be read")
        }
        self.init(
            name: name,
            connectionURL: url,
            username: username,
            allowedRoles: value["roles"]?.array?.compactMap(\.string) ?? [],
            rootCertificate: value["ca"]?.string
        )
        rotationStatements = value["rotate"]?.array?.compactMap(\.string) ?? []
        passwordPolicy = value["password_policy"]?.string ?? ""
    }
}

/// `database/roles/<name>`: which login to make, for how long.
struct DatabaseRole: Sendable {
    let name: String
    let connection: String
    let creation: [String]
    let revocation: [String]
    let renewal: [String]
    /// Seconds; 0 means the vault's default.
    let defaultTTL: Int64
    let maximumTTL: Int64

    var json: JSONValue {
        [
            "creation_statements": .strings(creation), "credential_type": "password", "db_name": .string(connection),
            "default_ttl": .integer(defaultTTL), "max_ttl": .integer(maximumTTL),
            "renew_statements": .strings(renewal), "revocation_statements": .strings(revocation),
            "rollback_statements": .array([]),
        ]
    }

    var encoded: SharedSecret { SharedSecret(copying: json.encoded()) }

    /// Reads a role as a client writes it and as it is stored.
    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    init(name: String, _ body: JSONView?) throws(VaultError) {
        func statements(_ field: String) throws(VaultError) -> [String] {
            guard let value = body?[field] else { return [] }
            // One text is one batch: it may hold semicolons inside a function body.
            let list = value.isArray ? value.elements.map(\.string) : [value.string]
            let texts = list.compactMap { $0 }.filter { !$0.isEmpty }
            guard !list.contains(nil), texts.count <= 64, texts.allSatisfy({ $0.utf8.count <= 16_384 }) else {
                throw .badRequest("\(field) takes up to 64 SQL texts of 16 KiB")
            }
            return texts
        }
        func duration(_ field: String) throws(VaultError) -> Int64 {
            guard let value = body?[field] else { return 0 }
            guard let seconds = GoDuration.seconds(value) else { throw .badRequest("\(field) is not a duration") }
            return seconds
        }
        self.name = name
        guard let connection = body?["db_name"]?.string, !connection.isEmpty else {
            throw .badRequest("db_name names the configuration to use")
        }
        self.connection = connection
        creation = try statements("creation_statements")
        revocation = try statements("revocation_statements")
        renewal = try statements("renew_statements")
        guard !creation.isEmpty else { throw .badRequest("creation_statements is empty: it makes the login") }
        defaultTTL = try duration("default_ttl")
        maximumTTL = try duration("max_ttl")
        if maximumTTL > 0, defaultTTL > maximumTTL { throw .badRequest("default_ttl is longer than max_ttl") }
        if let type = body?["credential_type"]?.string, type != "password", !type.isEmpty {
            throw .badRequest("credential_type \"\(type)\" is not available: use \"password\"")
        }
    }
}

extension JSONValue {
    /// - Throws: ``VaultError`` `.storageCorrupt`, naming `what`.
    init(stored: SharedSecret, _ what: String) throws(VaultError) {
        do throws(JSONError) {
            self = try stored.withBytes { bytes throws(JSONError) in JSONValue(try JSONView(bytes)) }
        } catch {
            throw VaultError(.storageCorrupt, "\(what) cannot be read", cause: error)
        }
    }
}

/// Where the database engine keeps its rows.
struct DatabasePlace: Sendable {
    let mount: Mount

    static let kinds = [
        "static-users", "static-roles", "static-password", "static-pending", "root-pending", "roles", "password",
        "config",
    ]

    private func key(_ kind: String, _ name: String) -> BarrierKey {
        BarrierKey(namespace: .database, parent: parent(kind), name: Array(name.utf8))
    }

    func parent(_ kind: String) -> [UInt8] { Array("\(mount.id)/\(kind)".utf8) }

    func configuration(_ name: String) -> BarrierKey { key("config", name) }
    func password(_ name: String) -> BarrierKey { key("password", name) }
    func role(_ name: String) -> BarrierKey { key("roles", name) }
    func staticRole(_ name: String) -> BarrierKey { key("static-roles", name) }
    func staticPassword(_ name: String) -> BarrierKey { key("static-password", name) }
    /// A password that may be the one in force already.
    func pendingPassword(_ name: String) -> BarrierKey { key("static-pending", name) }
    func pendingRoot(_ name: String) -> BarrierKey { key("root-pending", name) }
    /// Which static role a login of a database belongs to.
    func staticUser(_ connection: String, _ user: String) -> BarrierKey { key("static-users", "\(connection)/\(user)") }

    /// What leases remember of a configuration: unique across mounts.
    func connectionID(_ name: String) -> String { "\(mount.id)/\(name)" }
}
