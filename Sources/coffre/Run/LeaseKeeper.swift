import CoffreClient
import CoffreWire

/// Keeps leases alive while the child lives, and ends them afterwards.
struct LeaseKeeper: Sendable {
    let client: CoffreClient
    let console: Console

    /// Renews all leases until cancelled.
    func keep(_ leases: [Lease]) async {
        await withTaskGroup { group in
            for lease in leases { group.addTask { await keep(lease) } }
        }
    }

    private func keep(_ lease: Lease) async {
        let clock = ContinuousClock()
        let start = clock.now
        var renewal = LeaseRenewal(lease, at: .zero)
        var step = renewal.start(at: .zero)
        while case .renew(let time) = step {
            do {
                try await clock.sleep(until: start + time)
                let answer = try await client.renewLease(lease.id, increment: renewal.increment)
                let renewed = answer.lease ?? Lease(id: lease.id, duration: .zero, isRenewable: false)
                step = renewal.renewed(renewed, at: start.duration(to: clock.now))
            } catch let error as ClientError {
                let isFinal = [.badRequest, .denied, .notFound].contains(error.code)
                step = renewal.failed(isFinal: isFinal, at: start.duration(to: clock.now))
            } catch {
                return  // Cancelled: the child has ended.
            }
            if Task.isCancelled { return }
        }
        guard case .endsForGood(let end) = step, !Task.isCancelled else { return }
        let seconds = max(0, (end - start.duration(to: clock.now)).components.seconds)
        let name = Self.name(lease)
        console.note(
            Message(
                "warning: the credential from \(name) ends in \(seconds) s and cannot be renewed",
                "avertissement : l'accès obtenu de \(name) finit dans \(seconds) s et n'est plus renouvelable"
            )
        )
    }

    /// Revokes every lease, three attempts each; what remains is said and ends by itself.
    func revoke(_ leases: [Lease]) async {
        for lease in leases {
            var last: ClientError?
            for attempt in 1...3 {
                do {
                    try await client.revokeLease(lease.id)
                    last = nil
                } catch {
                    last = error
                }
                guard let error = last, [.unreachable, .connectionLost, .timedOut].contains(error.code) else { break }
                if attempt < 3 { try? await ContinuousClock().sleep(for: .milliseconds(500)) }
            }
            if let last {
                let reason = escapedForTerminal(last.description)
                let name = Self.name(lease)
                console.note(
                    Message(
                        "warning: the credential from \(name) was not revoked and ends by itself: \(reason)",
                        "avertissement : l'accès obtenu de \(name) n'est pas révoqué et finira seul : \(reason)"
                    )
                )
            }
        }
    }

    /// The path that issued it, without the random part.
    private static func name(_ lease: Lease) -> String {
        escapedForTerminal(lease.id.split(separator: "/").dropLast().joined(separator: "/"))
    }
}
