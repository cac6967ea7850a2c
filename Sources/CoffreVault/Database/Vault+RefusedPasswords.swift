internal import CoffreCrypto
internal import CoffreWire

/// For whom a job is done.
struct JobOrigin {
    /// Whose jobs wait for each other.
    let owner: String
    /// Id of the connection; nil where there is none yet, or none at all.
    var connection: String?
    /// Somebody who only uses the connection tries whether it works.
    var isTrial = false
    /// Who has entered the password, when it is not stored yet.
    var guesser: String?
}

/// A password that is wrong is not sent again and again: however many connections, logins and leases ask for it, an account
/// that locks after failures is not kept locked.
///
/// What is remembered is one password of one account at one place, so that neither a right password waits for somebody
/// else's wrong one, nor a wrong one goes again because another connection has it too.
extension Vault {
    /// Has the broker do a job at a database, unless the server refused the same password for the same account lately.
    /// - Parameters:
    ///   - account: what the job is for, as leases name it. Where it is a connection whose administration password was
    ///     rotated meanwhile, the new one is tried.
    ///   - insists: whoever may mend the account asks, and is not held off.
    ///   - guesser: who has entered the password, when it is not stored yet.
    /// - Throws: ``VaultError`` `.brokerUnavailable`, `.upstream`.
    func runJob(
        _ job: BrokerJob,
        of account: String,
        adminPassword: SharedSecret,
        loginPassword: SharedSecret? = nil,
        insists: Bool = false,
        guesser: String? = nil
    ) async throws -> BrokerAnswer {
        var origin = originOfJobs(account)
        origin.guesser = guesser
        let answer = try await tryJob(
            job,
            for: origin,
            adminPassword: adminPassword,
            loginPassword: loginPassword,
            insists: insists
        )
        guard case .failed(let failure) = answer else { return answer }
        guard failure.code == .authentication, let other = try await passwordAfterRotation(account, job, adminPassword)
        else { throw refusal(failure, job, adminPassword) }
        let second = try await tryJob(
            job,
            for: origin,
            adminPassword: other,
            loginPassword: loginPassword,
            insists: false
        )
        if case .failed(let failure) = second { throw refusal(failure, job, other) }
        return second
    }

    /// For a connection, or a mount of the database engine, as leases name it.
    func originOfJobs(_ account: String) -> JobOrigin {
        if account.hasPrefix(Connection.leasePrefix) {
            let id = String(account.dropFirst(Connection.leasePrefix.utf8.count))
            return JobOrigin(owner: unsealed?.connections[id]?.ownerOfTurns ?? id, connection: id)
        }
        return JobOrigin(owner: String(account.prefix { $0 != "/" }))
    }

    /// As ``runJob(_:of:adminPassword:loginPassword:insists:guesser:)``, with the failure as an answer. That a password was
    /// left alone is told as what it was left alone for.
    /// - Throws: ``VaultError`` `.brokerUnavailable`, `.rateLimited` for who has entered too many wrong passwords.
    func tryJob(
        _ job: BrokerJob,
        for origin: JobOrigin,
        adminPassword: SharedSecret,
        loginPassword: SharedSecret? = nil,
        insists: Bool
    ) async throws -> BrokerAnswer {
        guard let state = unsealed else { throw VaultError.sealed }
        let place = OwnerJobs.Place(job, origin)
        let generation = origin.connection.flatMap { state.connections[$0]?.generation }
        try await state.ownerJobs.enter(place)
        defer { state.ownerJobs.leave(place) }
        let keys = Self.refusalKeys(job, adminPassword, origin.guesser, state)
        // What ends logins waits for nobody.
        let isFirst = place.kind == .ending ? false : await state.firstAttempts.begin(keys.anywhere)
        defer { if isFirst { state.firstAttempts.end(keys.anywhere) } }
        // It may have waited for long.
        guard unsealed === state else { throw VaultError.sealed }
        if place.kind != .ending, let id = origin.connection, state.connections[id]?.generation != generation {
            throw VaultError(
                .upstream,
                "the connection was changed at this very moment: ask again",
                cause: BrokerFailure(.unavailable, sqlState: BrokerFailure.neverConnected)
            )
        }
        if let until = state.refusedPasswords.guessPause(keys, at: clock.now()) {
            throw VaultError(
                .rateLimited,
                "too many wrong passwords for this account: the next one may be tried after "
                    + Timestamp(seconds: until.seconds).rfc3339
            )
        }
        guard
            let attempt = state.refusedPasswords.begin(keys, of: origin.owner, insists: insists, at: clock.now())
        else { return .failed(BrokerFailure(.authentication)) }
        do {
            let answer = try await attemptJob(job, adminPassword: adminPassword, loginPassword: loginPassword)
            let failure: BrokerFailure? = if case .failed(let failure) = answer { failure } else { nil }
            let finding = RefusedPasswords.Finding(failure)
            state.refusedPasswords.end(attempt, finding, at: clock.now())
            if finding != .unknown { state.firstAttempts.found(keys.anywhere, isProven: finding == .accepted) }
            if failure == nil, job.kind == .setPassword, let login = job.login, let loginPassword {
                // The broker has logged in with it: whatever was said of it before it was set is over.
                var other = job
                other.user = login
                state.refusedPasswords.accepted(Self.refusalKeys(other, loginPassword, nil, state))
            }
            return answer
        } catch {
            state.refusedPasswords.end(attempt, .unknown, at: clock.now())
            throw error
        }
    }

    /// Until when a password is not sent to its server; nil when it may be.
    func pause(_ job: BrokerJob, _ password: SharedSecret) -> Timestamp? {
        guard let state = unsealed else { return nil }
        return state.refusedPasswords.pause(Self.refusalKeys(job, password, nil, state), at: clock.now())
    }

    private func refusal(_ failure: BrokerFailure, _ job: BrokerJob, _ password: SharedSecret) -> VaultError {
        guard failure.code == .authentication, let until = pause(job, password) else { return Self.error(failure) }
        return VaultError(
            .upstream,
            "the server does not accept the administration account's user name or password, and is not asked again before "
                + "\(Timestamp(seconds: until.seconds).rfc3339): mend the account, then test it",
            cause: failure
        )
    }

    private static func refusalKeys(
        _ job: BrokerJob,
        _ password: SharedSecret,
        _ guesser: String?,
        _ state: UnsealedState
    ) -> RefusedPasswords.Keys {
        // No name has a zero byte: the server's own protocol ends them with one.
        func digest(_ names: String..., with password: SharedSecret?) -> Digest {
            let place = Array("\(job.server)\0\(job.user)\0\(names.joined(separator: "\0"))\0".utf8)
            return state.refusalKey.authenticate { update in
                place.withUnsafeBytes { update($0) }
                password?.withBytes { update($0) }
            }
        }
        return RefusedPasswords.Keys(
            anywhere: digest("anywhere", with: password),
            here: digest("here", job.database, "\(job.tls)", with: password),
            guesser: guesser.map { digest("guesser", $0, with: nil) }
        )
    }

    /// A password that was right when it was read and is another by now: its rotation was under way.
    ///
    /// It goes where the refused one went and nowhere else: a connection that has another host meanwhile has another
    /// password too. The rotation's own turn is not waited for: whoever asks may hold a lease that it waits for.
    /// - Returns: nil when it is the same, or for another place.
    private func passwordAfterRotation(
        _ account: String,
        _ job: BrokerJob,
        _ used: SharedSecret
    ) async throws -> SharedSecret? {
        guard account.hasPrefix(Connection.leasePrefix) else { return nil }
        let id = String(account.dropFirst(Connection.leasePrefix.utf8.count))
        for _ in 0..<30 where try barrier.get(ConnectionKey.pending(id, "admin_password")) != nil {
            do { try await Task.sleep(for: .milliseconds(100)) } catch _ { break }
        }
        return try await inConnectionTurn { state in
            guard let connection = state.connections[id],
                let (target, now) = try? postgres(connection, administrator: true)
            else { return nil }
            let same = target.job(job.kind)
            guard same.host.utf8.elementsEqual(job.host.utf8), same.port == job.port, same.tls == job.tls,
                same.database.utf8.elementsEqual(job.database.utf8), same.user.utf8.elementsEqual(job.user.utf8),
                same.minimumTLS == job.minimumTLS, same.rootCertificate == job.rootCertificate
            else { return nil }
            return now.withBytes { now in used.withBytes { Memory.isEqual(now, $0) } } ? nil : now
        }
    }
}
