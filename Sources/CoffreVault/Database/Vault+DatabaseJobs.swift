internal import CoffreCrypto
internal import CoffreWire

/// A PostgreSQL server, as a configuration names it.
struct DatabaseTarget: Sendable {
    private let target: PostgresTarget
    private let user: String
    private let rootCertificate: [UInt8]?

    /// - Throws: ``VaultError`` `.badRequest` for a connection URL that is not acceptable.
    init(_ configuration: DatabaseConfiguration) throws(VaultError) {
        do throws(PostgresTargetError) {
            target = try PostgresTarget(connectionURL: configuration.connectionURL)
        } catch {
            throw .badRequest("connection_url: \(error.message)")
        }
        if target.rootCertificatePath != nil, configuration.rootCertificate == nil {
            throw .badRequest(
                "sslrootcert names a file that only the caller sees: send the certificates in the field tls_ca"
            )
        }
        user = configuration.username
        rootCertificate = configuration.rootCertificate.map { Array($0.utf8) }
    }

    init(_ target: PostgresTarget, user: String, rootCertificate: [UInt8]?) {
        self.target = target
        self.user = user
        self.rootCertificate = rootCertificate
    }

    /// Same server, same database: what is stored for one is good for the other.
    func isSamePlace(as other: DatabaseTarget) -> Bool {
        target.host.utf8.elementsEqual(other.target.host.utf8) && target.port == other.target.port
            && target.database.utf8.elementsEqual(other.target.database.utf8)
    }

    var administrator: String { user }

    func isSameUser(as other: DatabaseTarget) -> Bool { user.utf8.elementsEqual(other.user.utf8) }

    var isWithoutTLS: Bool { target.tls == .disable }

    func job(
        _ kind: BrokerJob.Kind,
        as other: String? = nil,
        login: String? = nil,
        statements: [String] = [],
        validUntil: Int64? = nil,
        task: DatabaseTask? = nil
    ) -> BrokerJob {
        BrokerJob(
            kind: kind,
            host: target.host,
            port: target.port,
            database: target.database,
            user: other ?? user,
            tls: target.tls,
            minimumTLS: target.minimumTLS,
            rootCertificate: rootCertificate,
            login: login,
            statements: statements,
            validUntil: validUntil,
            task: task,
            publicKey: []
        )
    }
}

extension Vault {
    /// - Parameter guesser: who has entered the password; nil for one that is stored.
    func verifyDatabase(
        _ target: DatabaseTarget,
        of account: String,
        password: SharedSecret,
        guesser: String? = nil
    ) async throws {
        _ = try await runJob(
            target.job(.verify),
            of: account,
            adminPassword: password,
            insists: true,
            guesser: guesser
        )
    }

    func createLogin(
        _ login: NewLogin,
        statements: [String],
        _ target: DatabaseTarget,
        of account: String,
        password: SharedSecret
    ) async throws {
        let job = target.job(
            .create,
            login: login.username,
            statements: statements.map { login.expand($0) },
            validUntil: login.expires.seconds
        )
        _ = try await runJob(job, of: account, adminPassword: password, loginPassword: login.password)
    }

    func revokeLogin(_ lease: LeaseRecord) async throws {
        if lease.connection.hasPrefix(Connection.leasePrefix) { return try await revokeConnectionLogin(lease) }
        let (target, password) = try leaseTarget(lease)
        let statements = lease.revocationStatements.map {
            NewLogin.expand($0, lease.username, lease.expires, password: nil)
        }
        let job = target.job(.revoke, login: lease.username, statements: statements)
        _ = try await runJob(job, of: lease.connection, adminPassword: password)
    }

    func renewLogin(_ lease: LeaseRecord) async throws {
        if lease.connection.hasPrefix(Connection.leasePrefix) { return try await renewConnectionLogin(lease) }
        let (target, password) = try leaseTarget(lease)
        let statements = lease.renewStatements.map {
            NewLogin.expand($0, lease.username, lease.expires, password: nil)
        }
        let job = target.job(
            .renew,
            login: lease.username,
            statements: statements,
            validUntil: lease.expires.seconds
        )
        _ = try await runJob(job, of: lease.connection, adminPassword: password)
    }

    /// Where a lease's login lives; its configuration cannot go, or move, before the lease.
    private func leaseTarget(_ lease: LeaseRecord) throws -> (DatabaseTarget, SharedSecret) {
        let parts = lease.connection.split(separator: "/", maxSplits: 1).map(String.init)
        guard let state = unsealed else { throw VaultError.sealed }
        guard parts.count == 2, let mount = state.mounts.mount(id: parts[0]) ?? state.removedMounts[parts[0]],
            let configuration = try databaseConfiguration(DatabasePlace(mount: mount), parts[1]),
            let password = try barrier.get(DatabasePlace(mount: mount).password(parts[1]))?.value
        else { throw VaultError(.upstream, "the configuration that this lease needs is missing") }
        return (try DatabaseTarget(configuration), password)
    }
}
