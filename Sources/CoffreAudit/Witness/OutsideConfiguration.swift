/// What remembers the log's head outside of this host, and how it is reached (specification 3.13).
package struct OutsideConfiguration: Sendable {
    /// What goes out.
    package enum Message: Sendable {
        /// The body of C2SP tlog-witness `add-checkpoint`, for the witness of that number in ``witnesses``.
        case addCheckpoint(witness: Int, body: [UInt8])
        /// A DER `TimeStampReq`.
        case stamp([UInt8])
        /// The newest head, for people.
        case mail(SignedHead)
        case webhook(SignedHead)
    }

    /// What came back.
    package enum Answer: Sendable, Equatable {
        /// From a web server.
        case replied(status: Int, contentType: String, body: [UInt8])
        /// The mail server has taken the message.
        case delivered
        /// Why nothing came, in words that are safe to show.
        case failed(String)
        /// The mail server will not have this message, in words that are safe to show.
        case refused(String)
    }

    /// Something for the journal.
    package struct Report: Sendable, Equatable {
        /// Somebody should look at it.
        package let isAlarm: Bool
        /// Constant.
        package let message: String
        package let facts: [String: String]
    }

    /// C2SP witnesses, level 3.
    package var witnesses: [CosignerKey] = []
    /// Whether there is a time-stamp authority, level 2.
    package var hasStamps = false
    /// Whether the head is mailed, and handed to a web server; level 1.
    package var hasMail = false
    package var hasWebhook = false
    /// Seconds between two submissions to a witness while the log grows. Default 60.
    package var intervalSeconds: UInt64 = 60
    /// Seconds without contact after which there is an alarm. Default one day.
    package var windowSeconds: UInt64 = 86_400
    /// How often each is looked after; nil leaves that to the caller.
    package var tickMilliseconds: Int? = 1000
    /// Sends a message and waits for the answer. Blocks; called on threads of the log's own.
    package var send: @Sendable (Message) -> Answer
    package var report: @Sendable (Report) -> Void

    /// Nobody outside.
    package init(
        send: @escaping @Sendable (Message) -> Answer = { _ in .failed("nobody is configured") },
        report: @escaping @Sendable (Report) -> Void = { _ in }
    ) {
        self.send = send
        self.report = report
    }
}

/// One memory of the log outside of it.
package struct OutsideStatus: Sendable, Equatable {
    package enum Kind: String, Sendable {
        case journal, mail, webhook, tsa, witness
    }

    /// How much is remembered outside, from nothing to the strongest.
    package enum Level: String, Sendable {
        case none, journal, mail, tsa, witness
    }

    package let kind: Kind
    /// The witness's name; empty for the others.
    package let name: String
    /// Seconds since 1970 of the last success; nil when there was none.
    package let lastContact: Int64?
    /// Records that it knows of.
    package let lastSize: UInt64
    /// Why the last attempt failed; nil when it did not.
    package let error: String?
    /// No success for longer than the window.
    package let isOverdue: Bool
    /// It holds the log to be rolled back or forked.
    package let isContradicting: Bool

    /// What this one gives by itself.
    package var level: Level {
        guard lastContact != nil, !isOverdue, !isContradicting else { return .none }
        switch kind {
        case .journal: return .journal
        case .mail, .webhook: return .mail
        case .tsa: return .tsa
        case .witness: return .witness
        }
    }

    /// The strongest of `all`.
    package static func level(of all: [OutsideStatus]) -> Level {
        let order: [Level] = [.witness, .tsa, .mail, .journal]
        return order.first { level in all.contains { $0.level == level } } ?? .none
    }
}
