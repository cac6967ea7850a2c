internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreHost
internal import CoffreInsight
internal import Logging
internal import Synchronization

/// Tells people of alerts: the journal at once, mail and web server by the broker. Each channel has every alert, in order; one that
/// cannot be reached is tried again and holds up no other.
final class AlertPost: Sendable {
    /// How one channel is doing.
    struct Status: Sendable {
        let name: String
        var delivered: UInt64 = 0
        /// Alerts that it has yet to get.
        var waiting = 0
        var error: String?
        /// Seconds since 1970.
        var lastContact: Int64?
        /// Alerts that had to make room before it could be reached.
        var lost: UInt64 = 0
        /// Alerts that the other side will not have, in short either.
        var refused: UInt64 = 0
    }

    private struct Failure {
        let reason: String
        /// Whether it is this message that is not wanted, and the next may be.
        var isRefusal = false
    }

    private struct Channel: Sendable {
        var status: Status
        /// How it begins when it is not known what it has.
        var beginning: Beginning?
        var failures = 0
        var nextTry: Int64 = 0
        let send: @Sendable (Alert) -> Failure?
    }

    private enum Beginning: Sendable {
        /// With what comes now: the channel is new.
        case now
        /// With everything that is kept: what it was given is not known any more.
        case again
    }

    private struct State: Sendable {
        var alerts: [Alert] = []
        var channels: [Channel] = []
    }

    private static let firstPauseSeconds: Int64 = 2
    private static let longestPauseSeconds: Int64 = 600
    private static let lookMilliseconds: Int32 = 1000

    private let logger: Logger
    private let state: Mutex<State>
    private let threads = Mutex<[PeriodicThread]>([])
    private let keep = Mutex<(@Sendable ([String: UInt64]) -> Void)?>(nil)
    private let delivery = Mutex<(@Sendable () -> Void)?>(nil)

    /// - Parameter webhookKey: signs what goes to the web server.
    init(
        _ settings: AnomalySettings,
        postman: Postman,
        origin: String,
        mailCredential: SharedSecret?,
        webhookKey: SharedSecret?,
        logger: Logger
    ) {
        self.logger = logger
        var channels = [Channel(status: Status(name: "journal")) { Self.journal($0, logger) }]
        if let mail = settings.mail {
            channels.append(
                Channel(status: Status(name: "mail")) { alert in
                    func send(_ alert: Alert) -> Failure? {
                        let message = AlertMail(alert, origin: origin, from: mail.from, to: mail.recipients).message
                        return Self.failure(postman.send(mail, mailCredential, message))
                    }
                    return Self.inShortIfNeedBe(alert, send)
                }
            )
        }
        if let target = settings.webhook, let key = webhookKey?.withSecret({ HMACKey($0) }) {
            channels.append(
                Channel(status: Status(name: "webhook")) { alert in
                    func send(_ alert: Alert) -> Failure? {
                        let hook = AlertHook(alert, origin: origin, key: key)
                        return Self.failure(
                            postman.post(target, "application/json", hook.body, signature: hook.signature)
                        )
                    }
                    return Self.inShortIfNeedBe(alert, send)
                }
            )
        }
        state = Mutex(State(channels: channels))
    }

    /// - Parameters:
    ///   - sent: number of the newest alert that each channel has; nil when that is not known.
    ///   - isFresh: whether numbers begin anew.
    ///   - keep: is given those numbers whenever one has changed.
    func start(_ sent: [String: UInt64]?, from isFresh: Bool, keep: @escaping @Sendable ([String: UInt64]) -> Void) {
        self.keep.withLock { $0 = keep }
        let count = state.withLock { state in
            for index in state.channels.indices {
                guard !isFresh else { continue }
                let known = sent?[state.channels[index].status.name]
                state.channels[index].status.delivered = known ?? 0
                if known == nil { state.channels[index].beginning = sent == nil ? .again : .now }
            }
            return state.channels.count
        }
        if isFresh { keepNumbers() }
        var threads: [PeriodicThread] = []
        for index in 0..<count {
            do throws(AuditError) {
                threads.append(try PeriodicThread(every: Self.lookMilliseconds) { [self] in turn(index) })
            } catch {
                logger.error("a channel for alerts cannot work", metadata: ["reason": "\(error.message)"])
            }
        }
        self.threads.withLock { $0 = threads }
    }

    /// Called when something has been delivered.
    func onDelivery(_ body: @escaping @Sendable () -> Void) { delivery.withLock { $0 = body } }

    /// Returns when nobody is waited for any more.
    func stop() {
        for thread in threads.withLock({ $0 }) { thread.stop() }
        threads.withLock { $0 = [] }
    }

    /// - Parameters:
    ///   - alerts: what not every channel has, in order.
    ///   - last: number of the newest there has been.
    ///   - isWhole: whether everything has been read that was there at the start; before that more is to come.
    func publish(_ alerts: [Alert], last: UInt64, isWhole: Bool) {
        let isNew = state.withLock { state in
            let isNew = alerts.last?.number != state.alerts.last?.number
            state.alerts = alerts
            for index in state.channels.indices {
                Self.adjust(&state.channels[index], alerts, last, isWhole)
            }
            return isNew
        }
        if isNew { for thread in threads.withLock({ $0 }) { thread.wake() } }
    }

    private static func adjust(_ channel: inout Channel, _ alerts: [Alert], _ last: UInt64, _ isWhole: Bool) {
        let before = alerts.first.map { $0.number - 1 } ?? last
        switch channel.beginning {
        case .now: channel.status.delivered = last
        case .again: channel.status.delivered = before
        case nil: break
        }
        channel.beginning = nil
        // What a lost memory has counted is not to come.
        if isWhole { channel.status.delivered = min(channel.status.delivered, last) }
        if before > channel.status.delivered, !alerts.isEmpty {
            channel.status.lost += before - channel.status.delivered
            channel.status.delivered = before
        }
        let delivered = channel.status.delivered
        channel.status.waiting = alerts.count { $0.number > delivered }
    }

    /// Number up to which every channel has everything.
    var deliveredByAll: UInt64 { state.withLock { $0.channels.map(\.status.delivered).min() ?? 0 } }

    var status: [Status] { state.withLock { $0.channels.map(\.status) } }

    /// Gives a channel what it has yet to get, until there is no more or it cannot be reached.
    private func turn(_ index: Int) {
        while true {
            let now = WallClock.seconds
            let next: (alert: Alert, send: @Sendable (Alert) -> Failure?)? = state.withLock { state in
                let channel = state.channels[index]
                guard now >= channel.nextTry || channel.nextTry > now + 2 * Self.longestPauseSeconds,
                    let alert = state.alerts.first(where: { $0.number > channel.status.delivered })
                else { return nil }
                return (alert, channel.send)
            }
            guard let next else { return }
            let failure = next.send(next.alert)
            let (isFirstFailure, isRecovery) = state.withLock { state -> (Bool, Bool) in
                noted(&state.channels[index], next.alert.number, failure, now)
            }
            if let failure, !failure.isRefusal {
                if isFirstFailure { tell(index, "alerts cannot be sent", failure.reason) }
                return
            }
            if let failure { tell(index, "alert \(next.alert.number) is refused and left out", failure.reason) }
            if isRecovery { tell(index, "alerts are sent again", nil) }
            keepNumbers()
            delivery.withLock { $0 }?()
        }
    }

    private func noted(
        _ channel: inout Channel,
        _ number: UInt64,
        _ failure: Failure?,
        _ now: Int64
    ) -> (isFirstFailure: Bool, isRecovery: Bool) {
        let before = channel.failures
        guard let failure, !failure.isRefusal else {
            if failure != nil { channel.status.refused += 1 }
            channel.status.delivered = max(channel.status.delivered, number)
            channel.status.waiting = max(0, channel.status.waiting - 1)
            channel.status.lastContact = WallClock.seconds
            channel.status.error = failure?.reason
            (channel.failures, channel.nextTry) = (0, 0)
            return (false, before > 0)
        }
        channel.status.error = failure.reason
        channel.failures += 1
        let pause = min(Self.firstPauseSeconds << Int64(min(before, 9)), Self.longestPauseSeconds)
        channel.nextTry = now + pause
        return (before == 0, false)
    }

    private func tell(_ index: Int, _ message: Logger.Message, _ reason: String?) {
        let name = state.withLock { $0.channels[index].status.name }
        var facts: Logger.Metadata = ["channel": "\(name)"]
        if let reason { facts["reason"] = "\(reason)" }
        logger.log(level: reason == nil ? .notice : .error, message, metadata: facts)
    }

    /// One after another, so that the newest numbers are written last.
    private func keepNumbers() {
        keep.withLock { keep in
            let numbers = state.withLock { state in
                Dictionary(uniqueKeysWithValues: state.channels.map { ($0.status.name, $0.status.delivered) })
            }
            keep?(numbers)
        }
    }

    // MARK: channels

    private static func journal(_ alert: Alert, _ logger: Logger) -> Failure? {
        // The vault has said so itself.
        guard alert.subject != .approval, alert.subject != .consent else { return nil }
        let level: Logger.Level =
            switch alert.severity {
            case .critical: .critical
            case .high: .error
            case .medium: .warning
            }
        logger.log(
            level: level,
            "anomaly",
            metadata: [
                "incident": "\(alert.incident)", "kind": "\(alert.kind?.rawValue ?? "")", "actor": "\(alert.actor)",
                "severity": "\(alert.severity.rawValue)", "reason": "\(alert.english)", "raison": "\(alert.french)",
            ]
        )
        return nil
    }

    /// Whoever is told of chooses words that stand in the sentence: a server that will not have them gets the alert without.
    private static func inShortIfNeedBe(_ alert: Alert, _ send: (Alert) -> Failure?) -> Failure? {
        guard let failure = send(alert) else { return nil }
        return failure.isRefusal ? send(alert.inShort) : failure
    }

    /// - Returns: nil when it was taken.
    private static func failure(_ answer: OutsideConfiguration.Answer) -> Failure? {
        switch answer {
        case .delivered: nil
        case .replied(let status, _, _):
            // These say something of the message; others of the place, the sender or the moment.
            (200...299).contains(status)
                ? nil
                : Failure(
                    reason: "the web server answered \(status)",
                    isRefusal: [400, 406, 413, 415, 422].contains(status)
                )
        case .failed(let reason): Failure(reason: reason)
        case .refused(let reason): Failure(reason: reason, isRefusal: true)
        }
    }
}
