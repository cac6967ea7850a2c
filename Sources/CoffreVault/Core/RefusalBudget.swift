internal import CoffreAudit

/// Bounds how many records refused requests may cause, per uid.
///
/// Over the limit the caller hears 429 under the receipt of one `overflow` record; the exact count is written when the
/// window closes, ten seconds after it opened.
struct RefusalBudget {
    typealias Waiting = (draft: AnswerDraft, completion: @Sendable (ReleasedAnswer) -> Void)

    private enum Window {
        case opening([Waiting])
        case open(AuditReceipt, count: Int)
    }

    private struct Bucket {
        var second: UInt64
        var used: Int
        var window: Window?
        var windowEnd: UInt64 = 0
        var told: Set<String> = []
    }

    /// How many alarms are told in a window.
    private static let mostAlarms = 16

    private let limit: Int
    private var buckets: [UInt32: Bucket] = [:]
    private var now: UInt64 = 0

    init(limitPerSecond: Int) { limit = limitPerSecond }

    /// Counts one refused request; true when `uid` is over its budget.
    mutating func isOver(uid: UInt32, at nanoseconds: UInt64) -> Bool {
        now = nanoseconds
        let second = nanoseconds / 1_000_000_000
        var bucket = buckets[uid] ?? Bucket(second: second, used: 0)
        defer { buckets[uid] = bucket }
        if bucket.window != nil { return true }
        if bucket.second != second {
            bucket.second = second
            bucket.used = 0
        }
        bucket.used += 1
        return bucket.used > limit
    }

    /// Whether an alarm in the flood of `uid` is to be told: each once in a window.
    mutating func tells(_ alarm: String, uid: UInt32) -> Bool {
        guard let told = buckets[uid]?.told, told.count < Self.mostAlarms else { return false }
        return buckets[uid]?.told.insert(alarm).inserted ?? false
    }

    /// The receipt of the open window, after counting one more request under it; nil when none is open yet.
    mutating func countSuppressed(uid: UInt32) -> AuditReceipt? {
        guard case .open(let receipt, let count)? = buckets[uid]?.window else { return nil }
        buckets[uid]?.window = .open(receipt, count: count + 1)
        return receipt
    }

    /// Makes `waiting` wait for the window's record; `record` writes it, once per window.
    mutating func open(uid: UInt32, waiting: Waiting, record: () -> Void) {
        if case .opening(let others)? = buckets[uid]?.window {
            buckets[uid]?.window = .opening(others + [waiting])
            return
        }
        buckets[uid]?.window = .opening([waiting])
        buckets[uid]?.windowEnd = now &+ 10_000_000_000
        record()
    }

    /// The window's record is durable (or failed): who waited for it.
    mutating func recorded(uid: UInt32, _ receipt: AuditReceipt?) -> [Waiting] {
        guard case .opening(let waiting)? = buckets[uid]?.window else { return [] }
        buckets[uid]?.window = receipt.map { .open($0, count: waiting.count) }
        return waiting
    }

    /// Windows that have ended, with their exact counts; forgets idle uids.
    mutating func takeEnded(at nanoseconds: UInt64) -> [(receipt: AuditReceipt, count: Int)] {
        now = nanoseconds
        var ended: [(receipt: AuditReceipt, count: Int)] = []
        for (uid, bucket) in buckets {
            switch bucket.window {
            case .open(let receipt, let count)? where bucket.windowEnd <= nanoseconds:
                ended.append((receipt, count))
                buckets[uid] = nil
            case nil where bucket.second + 2 < nanoseconds / 1_000_000_000: buckets[uid] = nil
            default: break
            }
        }
        return ended
    }
}
