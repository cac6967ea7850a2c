internal import CoffreCrypto
internal import CoffreWire

/// What Coffre does at the PostgreSQL server of a connection.
extension Vault {
    static let postgresType = "postgresql"

    /// - Parameter administrator: as the account that makes logins; else as the one that the connection is for.
    /// - Throws: ``VaultError`` `.badRequest` for a type or fields that cannot be used, or a secret that is missing.
    func postgres(
        _ connection: Connection,
        administrator: Bool,
        secrets: [String: SharedSecret] = [:]
    ) throws -> (target: DatabaseTarget, password: SharedSecret) {
        guard connection.type == Self.postgresType else {
            throw VaultError.badRequest(
                "connections of the type \(connection.type) cannot be used yet: their secrets are kept"
            )
        }
        let (user, secret) = administrator ? ("admin_username", "admin_password") : ("username", "password")
        guard !administrator || connection.fields[user] != nil else {
            throw VaultError.badRequest(
                "this connection has no administration account, which makes short-lived logins: enter admin_username and "
                    + "admin_password"
            )
        }
        // A secret that was voided is not sent anywhere, even while its row is still there.
        let isStored = connection.secrets[secret] != nil
        let key = ConnectionKey.secret(connection.id, secret)
        guard let password = try secrets[secret] ?? (isStored ? barrier.get(key)?.value : nil) else {
            throw VaultError.badRequest("the secret \(secret) of this connection is not stored: enter it")
        }
        guard let account = connection.fields[user], !account.isEmpty else {
            throw VaultError.badRequest("the field \(user) of this connection is empty")
        }
        do throws(PostgresTargetError) {
            let target = try PostgresTarget(
                host: connection.fields["host"] ?? "",
                port: connection.fields["port"],
                database: connection.fields["database"] ?? "",
                mode: connection.fields["ssl_mode"],
                minimumTLS: connection.fields["ssl_min_protocol_version"]
            )
            let certificate = connection.fields["ca_certificate"].map { Array($0.utf8) }
            return (DatabaseTarget(target, user: account, rootCertificate: certificate), password)
        } catch {
            throw VaultError.badRequest(error.message.replacing(" in connection_url", with: ""))
        }
    }

    /// The role of the database that holds these rights: the same rights, the same role.
    static func groupRole(_ connection: Connection, _ rights: EffectiveRights) -> String {
        let text = connection.id + "\n" + String(decoding: rights.json.encoded(), as: UTF8.self)
        return GrantPlan.groupPrefix + Hex.encode(Array(SHA256.hash(Array(text.utf8)).bytes.prefix(12)))
    }

    /// The rights as the broker takes them. Where columns are masked in a table of which all are allowed, the server is
    /// asked which there are.
    func grantPlan(
        _ connection: Connection,
        _ rights: EffectiveRights,
        _ target: DatabaseTarget,
        _ password: SharedSecret
    ) async throws -> GrantPlan {
        let open = rights.cells.filter {
            !$0.value.masked.isEmpty && ($0.value.columns == nil || $0.value.writable == nil)
        }.keys
        var known: [TableName: [SQLName]] = [:]
        for schema in Set(open.map(\.schema)).sorted() {
            known.merge(try await columns(of: schema, target, password, connection.leaseConnection)) { $1 }
        }
        do throws(BrokerWireError) {
            var tables: [GrantPlan.Table] = []
            for (table, cell) in rights.cells {
                func named(_ list: [SQLName]?) -> GrantPlan.Columns {
                    if list == nil, cell.masked.isEmpty { return .all }
                    let visible = (list ?? known[table] ?? []).filter { !cell.masked.contains($0) }
                    return visible.isEmpty ? .none : .only(visible.map(\.text))
                }
                let columns = named(cell.columns)
                guard columns != .none else { continue }
                let writes = cell.level == .readWrite
                let written = writes ? named(cell.writable) : .none
                tables.append(
                    try GrantPlan.Table(
                        schema: table.schema.text,
                        name: table.name.text,
                        read: columns,
                        insert: written,
                        update: written,
                        delete: writes
                    )
                )
            }
            var accepted: [GrantPlan.Acceptance] = []
            for text in connection.accepted { accepted.append(try GrantPlan.Acceptance(text)) }
            return try GrantPlan(
                group: Self.groupRole(connection, rights),
                tables: tables,
                isReadOnly: !rights.cells.values.contains { $0.level == .readWrite },
                accepted: accepted
            )
        } catch {
            throw VaultError.badRequest("the rights of this connection cannot become grants: \(error.message)")
        }
    }

    /// The columns of every table of a schema.
    private func columns(
        of schema: SQLName,
        _ target: DatabaseTarget,
        _ password: SharedSecret,
        _ account: String
    ) async throws -> [TableName: [SQLName]] {
        var found: [TableName: [SQLName]] = [:]
        var after: String?
        while true {
            let question = try Self.question(schema: schema.text, after: after)
            let job = target.job(.inspect, task: .inspect(question))
            guard case .inspected(let inspection) = try await runJob(job, of: account, adminPassword: password),
                let page = inspection.page
            else { throw VaultError(.upstream, "the broker answered something else than was asked") }
            for table in page.tables {
                found[TableName(schema: schema, name: SQLName(table.name))] = table.columns.map { SQLName($0) }
            }
            guard page.isTruncated, let last = page.tables.last, found.count < ConnectionRights.mostTables * 10 else {
                return found
            }
            after = last.name
        }
    }

    static func question(
        counts: [TableName] = [],
        schema: String? = nil,
        after: String? = nil
    ) throws -> DatabaseQuestion {
        do throws(BrokerWireError) {
            var tables: [DatabaseQuestion.Table] = []
            for table in counts {
                tables.append(try DatabaseQuestion.Table(schema: table.schema.text, name: table.name.text))
            }
            return try DatabaseQuestion(counts: tables, schema: schema, after: after)
        } catch {
            throw VaultError.badRequest(error.message)
        }
    }

    /// A difference between rights and database, and what to do about it.
    static func refusal(_ differences: GrantDifferences) -> VaultError {
        let shown = differences.list.prefix(8).map { difference in
            let name = "\(difference.kind.name):\(difference.object)"
            return difference.mend.map { "\(name) (mend: \($0))" } ?? name
        }
        let more = Int(differences.total) - shown.count
        return VaultError(
            .upstream,
            "the login would not have exactly the rights of the matrix, so it was not made: "
                + shown.joined(separator: "; ") + (more > 0 ? "; and \(more) more" : "")
                + ". Mend them in the database, or let the owner accept what can be accepted (accept)"
        )
    }
}
