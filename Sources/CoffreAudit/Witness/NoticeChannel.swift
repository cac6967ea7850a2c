internal import Synchronization

/// The newest head by mail, or to a web server: once at start and once a day.
final class NoticeChannel: Sendable {
    private static let period: UInt64 = 86_400

    private let kind: OutsideStatus.Kind
    private let context: OutsideContext
    private let state: Mutex<OutsideContact>

    /// - Parameter kind: `.mail` or `.webhook`.
    init(_ kind: OutsideStatus.Kind, _ context: OutsideContext) {
        self.kind = kind
        self.context = context
        state = Mutex(OutsideContact(context, period: Self.period))
    }

    var status: OutsideStatus { state.withLock { $0 }.status(kind, context) }

    /// What is due now. Blocks.
    func turn(_ log: OutsideContext.Log) {
        let now = context.boot
        let facts = ["kind": kind.rawValue, "reason": state.withLock { $0.error } ?? "the log did not grow"]
        if state.withLock({ $0.isAlarmDue(at: now) }) {
            context.report(isAlarm: true, "the head was not delivered within the window", facts)
        }
        guard state.withLock({ $0.schedule.isDue(at: now) }), let head = log.head() else { return }
        let reason: String?
        switch context.configuration.send(kind == .mail ? .mail(head) : .webhook(head)) {
        case .delivered, .replied(200..<300, _, _): reason = nil
        case .replied(let status, _, _): reason = "it answered status \(status)"
        case .failed(let text), .refused(let text): reason = text
        }
        guard let reason else { return state.withLock { $0.succeeded(context, size: head.size) } }
        if state.withLock({ $0.failed(context, reason) }) {
            context.report(
                isAlarm: false,
                "the head was not delivered",
                ["kind": kind.rawValue, "reason": reason]
            )
        }
    }
}
