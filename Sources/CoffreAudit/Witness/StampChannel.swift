internal import CoffreCrypto
internal import Synchronization

/// Time stamps of a time-stamp authority (RFC 3161): one at start, one a day, one after each turn of the epoch.
final class StampChannel: Sendable {
    private static let period: UInt64 = 86_400

    private struct State {
        var contact: OutsideContact
        /// The epoch that was open at the last success.
        var epoch: UInt64?
    }

    private let context: OutsideContext
    private let state: Mutex<State>

    init(_ context: OutsideContext) {
        self.context = context
        state = Mutex(State(contact: OutsideContact(context, period: Self.period)))
    }

    /// Where the stamp of the note over `size` records lies, and that note.
    static func paths(_ size: UInt64) -> (stamp: String, note: String) {
        let digits = String(size)
        let stem = "\(WitnessState.folder)/" + String(repeating: "0", count: max(0, 12 - digits.utf8.count)) + digits
        return (stem + ".tsr", stem + ".note")
    }

    var status: OutsideStatus { state.withLock { $0.contact }.status(.tsa, context) }

    /// What is due now. Blocks.
    func turn(_ log: OutsideContext.Log) {
        let (now, epoch) = (context.boot, log.epoch())
        let (isDue, isAlarm) = state.withLock { state in
            if let last = state.epoch, last != epoch, state.contact.error == nil { state.contact.schedule.hurry() }
            return (state.contact.schedule.isDue(at: now), state.contact.isAlarmDue(at: now))
        }
        if isAlarm { context.report(isAlarm: true, "no time stamp within the window", facts) }
        guard isDue, let head = log.head() else { return }
        do throws(TimeStampRequest.Defect) {
            let time = try stamp(head)
            state.withLock { state in
                state.contact.succeeded(context, size: head.size)
                state.epoch = epoch
            }
            context.record(.tsa, name: "", size: head.size, time: time, in: log)
        } catch {
            if state.withLock({ $0.contact.failed(context, error.reason) }) {
                context.report(isAlarm: false, "no time stamp", facts)
            }
        }
    }

    private var facts: [String: String] { ["reason": state.withLock { $0.contact.error } ?? "the log did not grow"] }

    private func stamp(_ head: SignedHead) throws(TimeStampRequest.Defect) -> String {
        let request = TimeStampRequest(over: head.note, nonce: Random.bytes(8))
        switch context.configuration.send(.stamp(request.bytes)) {
        case .replied(200, TimeStampRequest.replyType, let body):
            let time = try request.check(body)
            let paths = Self.paths(head.size)
            // The note first: a stamp without its note stamps nothing.
            context.keep(head.note, at: paths.note)
            context.keep(body, at: paths.stamp)
            return time
        case .replied(200, _, _): throw TimeStampRequest.Defect("its answer is no \(TimeStampRequest.replyType)")
        case .replied(let status, _, _): throw TimeStampRequest.Defect("it answered status \(status)")
        case .delivered: throw TimeStampRequest.Defect("no answer")
        case .failed(let reason), .refused(let reason): throw TimeStampRequest.Defect(reason)
        }
    }
}
