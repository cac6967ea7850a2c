internal import CoffreCrypto
internal import CoffreWire

/// `database/static-roles/<name>`: a login that exists already, whose password is rotated.
struct StaticRole: Sendable {
    let name: String
    let connection: String
    let username: String
    /// Seconds.
    var period: Int64
    var statements: [String]
    var lastRotation: Timestamp?
    /// When the next rotation is due.
    var due: Timestamp
    /// Failures since the last success.
    var attempts: Int64 = 0
    /// Neither the known nor the pending password could be shown to work.
    var isUnsure = false

    static let shortestPeriod: Int64 = 5

    var json: JSONValue {
        var members: [JSONValue.Member] = [
            .init("credential_type", "password"), .init("db_name", .string(connection)),
            .init("last_vault_rotation", lastRotation.map { .string($0.rfc3339) } ?? .null),
            .init("rotation_period", .integer(period)), .init("rotation_statements", .strings(statements)),
            .init("skip_import_rotation", .bool(false)), .init("username", .string(username)),
        ]
        if attempts > 0 {
            members.append(.init("rotation_attempts", .integer(attempts)))
            members.append(.init("rotation_unsure", .bool(isUnsure)))
        }
        return .object(members)
    }

    var encoded: SharedSecret {
        let value: JSONValue = [
            "db": .string(connection), "user": .string(username), "period": .integer(period),
            "statements": .strings(statements), "last": .integer(lastRotation?.nanoseconds ?? 0),
            "due": .integer(due.nanoseconds), "attempts": .integer(attempts), "unsure": .bool(isUnsure),
        ]
        return SharedSecret(copying: value.encoded())
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(name: String, decoding stored: SharedSecret) throws(VaultError) {
        let value = try JSONValue(stored: stored, "a static role")
        guard let connection = value["db"]?.string, let username = value["user"]?.string,
            let period = value["period"]?.integer, let due = value["due"]?.integer
        else { throw VaultError(.storageCorrupt, "a static role cannot be read") }
        self.name = name
        self.connection = connection
        self.username = username
        self.period = period
        statements = value["statements"]?.array?.compactMap(\.string) ?? []
        lastRotation = value["last"]?.integer.flatMap { $0 == 0 ? nil : Timestamp(nanoseconds: $0) }
        self.due = Timestamp(nanoseconds: due)
        attempts = value["attempts"]?.integer ?? 0
        isUnsure = value["unsure"]?.bool ?? false
    }

    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    init(name: String, _ body: JSONView?, _ known: StaticRole?, now: Timestamp) throws(VaultError) {
        self.name = name
        guard let connection = body?["db_name"]?.string ?? known?.connection, !connection.isEmpty else {
            throw .badRequest("database name is a required field")
        }
        guard let username = body?["username"]?.string ?? known?.username, (1...63).contains(username.utf8.count),
            !username.utf8.contains(0)
        else { throw .badRequest("username is a required field to create a static account: 1 to 63 bytes") }
        if let known, !known.username.utf8.elementsEqual(username.utf8) {
            throw .badRequest("cannot update static account username")
        }
        if let known, !known.connection.utf8.elementsEqual(connection.utf8) {
            throw .badRequest("cannot update the database of a static account")
        }
        for field in ["rotation_schedule", "rotation_window", "self_managed_password"] {
            if let value = body?[field], value.string != "" {
                throw .badRequest("\(field) is not available: use rotation_period")
            }
        }
        if body?["skip_import_rotation"]?.weakBool ?? false {
            throw .badRequest(
                "skip_import_rotation is not available: the vault does not know a password that it has not set"
            )
        }
        if let type = body?["credential_type"]?.string, type != "password", !type.isEmpty {
            throw .badRequest("credential_type \"\(type)\" is not available: use \"password\"")
        }
        var period = known?.period
        if let value = body?["rotation_period"] {
            guard let seconds = GoDuration.seconds(value), seconds >= Self.shortestPeriod else {
                throw .badRequest("rotation_period must be \(Self.shortestPeriod) seconds or more")
            }
            period = seconds
        }
        guard let period else { throw .badRequest("rotation_period is required to create static accounts") }
        self.connection = connection
        self.username = username
        self.period = period
        statements = known?.statements ?? []
        if let value = body?["rotation_statements"] {
            let texts = (value.isArray ? value.elements.map(\.string) : [value.string]).compactMap { $0 }
            statements = texts.filter { !$0.isEmpty }
            guard statements.count <= 64, statements.allSatisfy({ $0.utf8.count <= 16_384 }) else {
                throw .badRequest("rotation_statements takes up to 64 SQL texts of 16 KiB")
            }
        }
        lastRotation = known?.lastRotation
        due = known?.lastRotation?.adding(seconds: period) ?? now
        attempts = known?.attempts ?? 0
        isUnsure = known?.isUnsure ?? false
    }

    /// What gives the login another password, with the verifier in place of the password.
    static func expand(_ statements: [String], username: String, verifier: String) -> [String] {
        guard statements.isEmpty else {
            return statements.map {
                NewLogin.expand($0, username, Timestamp(seconds: 0), password: verifier)
            }
        }
        // A quoted identifier (PostgreSQL manual, "Lexical Structure"): quotes inside are doubled.
        let quoted = username.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
        return ["ALTER ROLE \"\(quoted)\" WITH PASSWORD '\(verifier)'"]
    }
}
