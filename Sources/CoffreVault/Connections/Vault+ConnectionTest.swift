internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// `connectors/connections/<name>/test`: does it work, how fast, over which TLS, and what is there?
extension Vault {
    func testConnection(_ name: String, _ what: AuditWhat, _ context: RequestContext) async throws -> Effect {
        let (connection, access) = try visibleConnection(name, context)
        guard connection.state == .active || connection.state == .disabled else {
            throw VaultError.badRequest("this connection was deleted")
        }
        let report =
            isOAuth(connection)
            ? try await testGrant(connection) : try await test(connection, secrets: [:], access, context)
        var what = what
        what.connector = connection.id
        what.details.append(("works", .flag(report["works"] == .bool(true))))
        return Effect(.data(report), what: what)
    }

    /// The report that a person is shown; a connection that does not work is a report too.
    /// - Parameter secrets: what was entered and is not stored yet.
    func test(
        _ connection: Connection,
        secrets: [String: SharedSecret],
        _ access: ConnectionAccess?,
        _ context: RequestContext
    ) async throws -> JSONValue {
        // Both before anything is waited for: what is entered meanwhile belongs to another place.
        let (target, password) = try postgres(connection, administrator: false, secrets: secrets)
        let hasAdministrator =
            connection.fields["admin_username"] != nil
            && (secrets["admin_password"] != nil || connection.secrets["admin_password"] != nil)
        let administrator =
            hasAdministrator ? try postgres(connection, administrator: true, secrets: secrets) : nil
        // The tables that the caller may read; their numbers of rows tell something.
        let cells =
            access.map {
                $0.isAdministrator && $0.entity.isEmpty ? connection.rights.ofAdministrator.cells : $0.rights.cells
            } ?? [:]
        let tables = Array(cells.keys.sorted().prefix(DatabaseQuestion.maximumCounts))
        let job = target.job(.inspect, task: .inspect(try Self.question(counts: tables)))
        // Whoever may mend the account is not held off, as those are who only use the connection.
        let insists = access?.mayManage ?? true
        // What was entered and what is stored are guesses or not, each for itself.
        func origin(_ secret: String) -> JobOrigin {
            JobOrigin(
                owner: connection.ownerOfTurns,
                connection: unsealed?.connections[connection.id] == nil ? nil : connection.id,
                isTrial: !insists,
                guesser: secrets[secret] == nil ? nil : guesser(context)
            )
        }
        let answer = try await tryJob(job, for: origin("password"), adminPassword: password, insists: insists)
        guard case .inspected(let found) = answer else {
            guard case .failed(let failure) = answer else {
                throw VaultError(.upstream, "the broker answered something else than was asked")
            }
            return failed(failure, job, password)
        }
        var members: [JSONValue.Member] = [
            .init("works", .bool(true)), .init("connect_us", .integer(found.connectMicroseconds)),
            .init("latency_us", .integer(found.roundTripMicroseconds)),
            .init("tls", (found.serverTLSVersion ?? found.tlsVersion).map { .string($0) } ?? .null),
            .init("server_version", found.serverVersion.map { .string($0) } ?? .null),
            .init("tables", .integer(found.tables)),
            .init(
                "schemas",
                .array(found.schemas.map { ["name": .string($0.name), "tables": .integer($0.tables)] })
            ), .init("rows", .array(zip(tables, found.counts).map { Self.rows(of: $0, $1) })),
        ]
        if found.isSuperuser {
            members.append(
                .init("warning", "this account is a superuser: use one that may only do what the connection is for")
            )
        }
        if let end = found.validUntil {
            members.append(.init("password_valid_until", .string(Timestamp(seconds: end).rfc3339)))
        }
        guard let administrator else { return .object(members) }
        let report = try await testAdministration(administrator, for: origin("admin_password"), insists)
        members.append(.init("administration", report))
        return .object(members)
    }

    /// Who enters a password that is not stored: its guesses are counted.
    func guesser(_ context: RequestContext) -> String {
        guard let caller = context.caller, !caller.entityID.isEmpty else { return "" }
        return caller.entityID
    }

    private func testAdministration(
        _ administrator: (target: DatabaseTarget, password: SharedSecret),
        for origin: JobOrigin,
        _ insists: Bool
    ) async throws -> JSONValue {
        let (target, password) = administrator
        let job = target.job(.inspect, task: .inspect(try Self.question()))
        switch try await tryJob(job, for: origin, adminPassword: password, insists: insists) {
        case .inspected(let found):
            let may = found.isSuperuser || found.mayCreateRoles
            return may ? ["works": .bool(true)] : failed(BrokerFailure(.rights), job, password)
        case .failed(let failure): return failed(failure, job, password)
        default: throw VaultError(.upstream, "the broker answered something else than was asked")
        }
    }

    /// - Returns: why it does not work; with `not_before`, since when the server may be asked again.
    private func failed(_ failure: BrokerFailure, _ job: BrokerJob, _ password: SharedSecret) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("works", .bool(false)), .init("failure", ConnectionFailure(failure).json),
        ]
        if failure.code == .authentication, let until = pause(job, password) {
            members.append(.init("not_before", .string(Timestamp(seconds: until.seconds).rfc3339)))
        }
        return .object(members)
    }

    private static func rows(of table: TableName, _ count: DatabaseInspection.RowCount) -> JSONValue {
        let (number, how): (UInt64?, String)
        switch count {
        case .exact(let rows): (number, how) = (rows, "exact")
        case .estimate(let rows): (number, how) = (rows, "estimate")
        case .denied: (number, how) = (nil, "denied")
        case .missing: (number, how) = (nil, "missing")
        case .unknown: (number, how) = (nil, "not counted")
        }
        return [
            "schema": .string(table.schema.text), "table": .string(table.name.text),
            "rows": number.map { .integer($0) } ?? .null, "how": .string(how),
        ]
    }
}
