internal import CoffreWire

/// Logins of connections that wait to be removed at their servers, and connections whose server is at it. Confined to the
/// vault's executor.
final class WithdrawalQueue {
    struct Waiting {
        let login: String
        let done: CheckedContinuation<Void, any Error>
    }

    private var lines: [String: [Waiting]] = [:]
    /// A visit here costs nothing: how many reach the broker is for ``OwnerJobs`` to say.
    private var turns = OwnerTurns(limit: 256, limitOfOwner: 4)

    /// - Parameter server: whose visits wait for each other: a server, for one owner.
    func append(_ waiting: Waiting, of connection: String, at server: String) {
        lines[connection, default: []].append(waiting)
        turns.append(connection, of: server)
    }

    /// The next connection and what is to be removed there, until ``end(_:)`` says that it is done.
    func next() -> (connection: String, batch: [Waiting])? {
        while let connection = turns.next() {
            guard let line = lines.removeValue(forKey: connection) else {
                turns.end(connection)
                continue
            }
            let most = DatabaseWithdrawals.maximumLogins
            if line.count > most {
                lines[connection] = Array(line[most...])
                // Once more, when this visit is over.
                turns.append(connection, of: connection)
            }
            return (connection, Array(line.prefix(most)))
        }
        return nil
    }

    func end(_ connection: String) { turns.end(connection) }
}

/// Many leases of a connection that end at the same moment cost its server one visit.
extension Vault {
    /// Removes a login of a connection at its server, together with others that wait for the same.
    /// - Throws: ``VaultError`` of the broker or the server; what became of the login is not known then.
    func withdraw(_ login: String, of connection: String) async throws {
        guard let state = unsealed else { throw VaultError.sealed }
        try await withCheckedThrowingContinuation { continuation in
            state.withdrawals.append(
                WithdrawalQueue.Waiting(login: login, done: continuation),
                of: connection,
                at: state.connections[connection]?.serverOfTurns ?? connection
            )
            startWithdrawals(state)
        }
    }

    private func startWithdrawals(_ state: UnsealedState) {
        while let (connection, batch) = state.withdrawals.next() {
            Task {
                do {
                    let found = try await self.withdrawNow(batch.map(\.login), of: connection, state)
                    await self.remember(found, of: connection)
                    for waiting in batch {
                        let login = found.logins.first { $0.name.utf8.elementsEqual(waiting.login.utf8) }
                        guard let login else {
                            waiting.done.resume(throwing: Self.anotherAnswer)
                            continue
                        }
                        waiting.done.resume(with: login.failure.map { .failure(Self.error($0)) } ?? .success(()))
                    }
                } catch {
                    for waiting in batch { waiting.done.resume(throwing: error) }
                }
                state.withdrawals.end(connection)
                self.startWithdrawals(state)
            }
        }
    }

    private func withdrawNow(
        _ logins: [String],
        of id: String,
        _ state: UnsealedState
    ) async throws -> DatabaseWithdrawals {
        guard unsealed === state else { throw VaultError.sealed }
        guard let connection = state.connections[id] else {
            throw VaultError(.upstream, "the connection that this lease needs is missing")
        }
        let (target, password) = try postgres(connection, administrator: true)
        let job = target.job(.withdraw, task: .withdraw(logins))
        let answer = try await runJob(job, of: connection.leaseConnection, adminPassword: password)
        guard case .withdrawn(let found) = answer else {
            throw Self.anotherAnswer
        }
        return found
    }

    private static let anotherAnswer = VaultError(.upstream, "the broker answered something else than was asked")
}
