internal import CoffreCrypto
internal import CoffreWire

/// An administration account whose password its server did not accept.
struct RefusedAccount {
    /// Refusals in a row.
    var attempts: Int64
    /// Nothing is sent there before.
    var until: Timestamp
}

/// A password that is wrong is not sent again and again: however many logins and leases ask for it, an account that locks
/// after failures is not kept locked.
extension Vault {
    /// Has the broker do a job as the administration account `account`, unless the server refused it lately.
    /// - Throws: ``VaultError`` `.brokerUnavailable`, `.upstream`.
    func runJob(
        _ job: BrokerJob,
        of account: String,
        adminPassword: SharedSecret,
        loginPassword: SharedSecret? = nil
    ) async throws -> BrokerAnswer {
        guard let state = unsealed else { throw VaultError.sealed }
        if let refused = state.refusedAccounts[account] {
            guard refused.until <= clock.now() else {
                throw VaultError(
                    .upstream,
                    "the server does not accept the administration account's user name or password, and is not asked again "
                        + "before \(Timestamp(seconds: refused.until.seconds).rfc3339): mend the account, then test it",
                    cause: BrokerFailure(.authentication)
                )
            }
            // One tries; the others wait for what it finds.
            refuse(account, state)
        }
        do {
            let answer = try await runJob(job, adminPassword: adminPassword, loginPassword: loginPassword)
            state.refusedAccounts[account] = nil
            return answer
        } catch {
            guard VaultError(mapping: error).brokerFailure?.code == .authentication else { throw error }
            if let other = try await passwordAfterRotation(account, job, adminPassword) {
                return try await runJob(job, adminPassword: other, loginPassword: loginPassword)
            }
            refuse(account, state)
            throw error
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

    /// The server refused the account: it is asked again after 10, 20, 40 … 600 seconds. Who asked at the same time adds
    /// nothing to that.
    func refuse(_ account: String, _ state: UnsealedState) {
        let now = clock.now()
        let before = state.refusedAccounts[account]
        guard before.map({ $0.until <= now }) ?? true else { return }
        let attempts = (before?.attempts ?? 0) + 1
        let delay = min(600, Int64(10) << min(attempts - 1, 6))
        state.refusedAccounts[account] = RefusedAccount(attempts: attempts, until: now.adding(seconds: delay))
    }
}
