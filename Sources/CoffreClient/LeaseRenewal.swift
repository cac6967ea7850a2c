/// When to renew a lease, as values: facts in, next step out. Times are counted from any fixed instant.
///
/// A lease is renewed after two thirds of its remaining time. A failed renewal is tried again after a third of what
/// remains, at least ``shortestWait``, until nothing remains. When a renewal grants less than was asked for (the
/// maximum is near), the schedule follows the true, shrinking time and ends when it no longer helps.
package struct LeaseRenewal: Sendable {
    /// What to do next.
    package enum Step: Equatable, Sendable {
        /// Renew at this time.
        case renew(at: Duration)
        /// Nothing more can be done; the lease ends at this time.
        case endsForGood(at: Duration)
    }

    /// Never renew more often than this.
    package static let shortestWait: Duration = .seconds(1)

    private let granted: Duration
    private var end: Duration
    private var isRenewable: Bool

    /// - Parameters:
    ///   - lease: as handed out.
    ///   - now: when.
    package init(_ lease: Lease, at now: Duration) {
        granted = lease.duration
        end = now + lease.duration
        isRenewable = lease.isRenewable
    }

    /// The increment to ask for.
    package var increment: Duration { granted }

    /// The first step.
    package func start(at now: Duration) -> Step { step(at: now, after: (end - now) * 2 / 3) }

    /// After a renewal that the server granted.
    package mutating func renewed(_ lease: Lease, at now: Duration) -> Step {
        let gained = now + lease.duration - end
        end = now + lease.duration
        isRenewable = lease.isRenewable
        // A renewal that adds nothing has met the maximum: asking again would only fill the log.
        if gained < Self.shortestWait && lease.duration < granted { isRenewable = false }
        return step(at: now, after: (end - now) * 2 / 3)
    }

    /// After a renewal that failed.
    /// - Parameter isFinal: the server refused it; false when it could not be asked.
    package mutating func failed(isFinal: Bool, at now: Duration) -> Step {
        if isFinal { isRenewable = false }
        return step(at: now, after: (end - now) / 3)
    }

    private func step(at now: Duration, after wait: Duration) -> Step {
        guard isRenewable, end - now > Self.shortestWait else { return .endsForGood(at: end) }
        return .renew(at: now + max(wait, Self.shortestWait))
    }
}
