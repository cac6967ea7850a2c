internal import CoffreCrypto
internal import Synchronization

/// Everything that remembers the log's head outside of it: the journal, mail, a web server, a time-stamp authority,
/// witnesses. Each has a thread of its own, so that one that never answers holds up no other.
final class OutsideKeeper: Sendable {
    private let context: OutsideContext
    private let witnesses: [WitnessChannel]
    private let stamps: StampChannel?
    private let notices: [NoticeChannel]
    private let journal: Mutex<OutsideContact>
    private let threads = Mutex<[PeriodicThread]>([])

    /// - Throws: ``AuditError`` `.damaged`, `.system`, `.invalidConfiguration` when two witnesses have one name.
    init(
        _ configuration: OutsideConfiguration,
        files: any LogFileSystem,
        clock: any LogClock,
        origin: String
    ) throws(AuditError) {
        let names = configuration.witnesses.map { Array($0.name.utf8) }
        guard Set(names).count == names.count else {
            throw .invalidConfiguration(reason: "two witnesses have the same name")
        }
        let context = OutsideContext(configuration, files: files, clock: clock, origin: origin)
        let cosigned = CosignedNote()
        self.context = context
        var channels: [WitnessChannel] = []
        for index in configuration.witnesses.indices {
            channels.append(try WitnessChannel(index, context, cosigned))
        }
        witnesses = channels
        stamps = configuration.hasStamps ? StampChannel(context) : nil
        var notices: [NoticeChannel] = []
        if configuration.hasMail { notices.append(NoticeChannel(.mail, context)) }
        if configuration.hasWebhook { notices.append(NoticeChannel(.webhook, context)) }
        self.notices = notices
        journal = Mutex(OutsideContact(context, period: 86_400))
    }

    /// The strongest first.
    var status: [OutsideStatus] {
        witnesses.map(\.status) + (stamps.map { [$0.status] } ?? []) + notices.map(\.status)
            + [journal.withLock { $0 }.status(.journal, context)]
    }

    /// Asks every witness before the first record of this run. Blocks for as long as they take.
    /// - Parameter note: the `checkpoint` file, whose signatures hold; nil when there is none.
    /// - Throws: ``AuditError`` `.contradicted`.
    func gate(_ checkpoint: Checkpoint?, note: [UInt8]?) throws(AuditError) {
        let head = checkpoint.flatMap { checkpoint in
            note.map { SignedHead(checkpoint, origin: context.origin, note: $0) }
        }
        for witness in witnesses { try witness.gate(head) }
    }

    /// Begins to look after all of them.
    func start(_ log: OutsideContext.Log) throws(AuditError) {
        guard let milliseconds = context.configuration.tickMilliseconds else { return }
        var threads: [PeriodicThread] = []
        for turn in turns {
            threads.append(try PeriodicThread(every: Int32(clamping: milliseconds)) { turn(log) })
        }
        self.threads.withLock { $0 = threads }
    }

    private var turns: [@Sendable (OutsideContext.Log) -> Void] {
        var turns: [@Sendable (OutsideContext.Log) -> Void] = []
        for channel in witnesses { turns.append { channel.turn($0) } }
        if let stamps { turns.append { stamps.turn($0) } }
        for channel in notices { turns.append { channel.turn($0) } }
        return turns
    }

    /// What is due, one after another; for tests.
    func turn(_ log: OutsideContext.Log) {
        for turn in turns { turn(log) }
    }

    /// The newest head stands in the journal.
    func journalled(size: UInt64) { journal.withLock { $0.succeeded(context, size: size) } }

    /// Returns when nobody is waited for any more.
    func stop() {
        for thread in threads.withLock({ $0 }) { thread.stop() }
        threads.withLock { $0 = [] }
    }
}

extension SignedHead {
    init(_ checkpoint: Checkpoint, origin: String, note: [UInt8]) {
        self.init(
            origin: origin,
            size: checkpoint.size,
            rootHash: Base64.encode(checkpoint.root.bytes),
            note: note
        )
    }
}
