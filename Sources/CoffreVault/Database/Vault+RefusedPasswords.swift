internal import CoffreCrypto
internal import CoffreWire

/// A password that its server did not accept.
struct RefusedPassword {
    /// Refusals in a row.
    var attempts: Int64
    /// It is not sent there before.
    var until: Timestamp

    /// Not accepted again: the next attempt comes after 10, 20, 40 … 600 seconds.
    static func next(after before: RefusedPassword?, at now: Timestamp) -> RefusedPassword {
        let attempts = (before?.attempts ?? 0) + 1
        return RefusedPassword(
            attempts: attempts,
            until: now.adding(seconds: min(600, Int64(10) << min(attempts - 1, 6)))
        )
    }
}

/// A password that is wrong is not sent again and again: however many connections, logins and leases ask for it, an account
/// that locks after failures is not kept locked.
///
/// What is remembered is one password of one account at one place, so that neither a right password waits for somebody
/// else's wrong one, nor a wrong one goes again because another connection has it too.
extension Vault {
    /// Has the broker do a job at a database, unless the server refused the same password for the same account lately.
    /// - Parameters:
    ///   - account: the connection whose administration password this is: should it have been rotated meanwhile, the new
    ///     one is tried.
    ///   - insists: whoever may mend the account asks, and is not held off.
    /// - Throws: ``VaultError`` `.brokerUnavailable`, `.upstream`.
    func runJob(
        _ job: BrokerJob,
        of account: String? = nil,
        adminPassword: SharedSecret,
        loginPassword: SharedSecret? = nil,
        insists: Bool = false
    ) async throws -> BrokerAnswer {
        let owner = account.map { ownerOfJobs($0) }
        let answer = try await tryJob(
            job,
            of: owner,
            adminPassword: adminPassword,
            loginPassword: loginPassword,
            insists: insists
        )
        guard case .failed(let failure) = answer else { return answer }
        guard failure.code == .authentication, let account,
            let other = try await passwordAfterRotation(account, job, adminPassword)
        else { throw refusal(failure, job, adminPassword) }
        let second = try await tryJob(
            job,
            of: owner,
            adminPassword: other,
            loginPassword: loginPassword,
            insists: false
        )
        if case .failed(let failure) = second { throw refusal(failure, job, other) }
        return second
    }

    /// Whose jobs wait for each other: those of a connection's owner, or of a mount of the database engine.
    private func ownerOfJobs(_ account: String) -> String {
        let id = account.dropFirst(Connection.leasePrefix.utf8.count)
        if account.hasPrefix(Connection.leasePrefix), let owner = unsealed?.connections[String(id)]?.rights.owner {
            return owner
        }
        return String(account.prefix { $0 != "/" })
    }

    /// As ``runJob(_:of:adminPassword:loginPassword:insists:)``, with the failure as an answer. That a password was left
    /// alone is told as what it was left alone for.
    /// - Parameter owner: whose jobs it waits for; nil for nobody's.
    /// - Throws: ``VaultError`` `.brokerUnavailable`.
    func tryJob(
        _ job: BrokerJob,
        of owner: String?,
        adminPassword: SharedSecret,
        loginPassword: SharedSecret? = nil,
        insists: Bool
    ) async throws -> BrokerAnswer {
        guard let state = unsealed else { throw VaultError.sealed }
        if let owner { try await state.ownerJobs.enter(owner) }
        defer { if let owner { state.ownerJobs.leave(owner) } }
        let key = Self.refusalKey(job, adminPassword, state)
        let before = state.refusedPasswords[key]
        if let before {
            guard insists || before.until <= clock.now() else { return .failed(BrokerFailure(.authentication)) }
            // One tries; the others wait for what it finds.
            state.refusedPasswords[key] = .next(after: before, at: clock.now())
        }
        do {
            let answer = try await attemptJob(job, adminPassword: adminPassword, loginPassword: loginPassword)
            guard case .failed(let failure) = answer else {
                state.refusedPasswords[key] = nil
                return answer
            }
            if failure.code == .authentication {
                // Who asked at the same time adds nothing to the delay.
                if before != nil || state.refusedPasswords[key] == nil {
                    state.refusedPasswords[key] = .next(after: before, at: clock.now())
                }
            } else {
                // Whoever gets further than this was let in; who does not has learnt nothing.
                state.refusedPasswords[key] = failure.isBeforeAnyWork ? before : nil
            }
            return answer
        } catch {
            state.refusedPasswords[key] = before
            throw error
        }
    }

    /// Until when a password is not sent to its server; nil when it may be.
    func pause(_ job: BrokerJob, _ password: SharedSecret) -> Timestamp? {
        guard let state = unsealed else { return nil }
        let until = state.refusedPasswords[Self.refusalKey(job, password, state)]?.until
        return until.flatMap { $0 > clock.now() ? $0 : nil }
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

    private static func refusalKey(_ job: BrokerJob, _ password: SharedSecret, _ state: UnsealedState) -> Digest {
        // No name has a zero byte: the server's own protocol ends them with one.
        let place = Array("\(job.host)\0\(job.port)\0\(job.user)\0".utf8)
        return state.refusalKey.authenticate { update in
            place.withUnsafeBytes { update($0) }
            password.withBytes { update($0) }
        }
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
