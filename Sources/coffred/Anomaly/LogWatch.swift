internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreHost
internal import CoffreInsight
internal import CoffreVault
internal import Glibc
internal import Logging
internal import Synchronization

/// Follows the audit log on a thread of its own, records what it finds, and has people told. Nobody's answer waits for it.
///
/// A finding is recorded exactly once: its name comes from the record that made it certain, the memory is saved only when
/// everything found so far is durable, and after a start the log itself says what is recorded already.
final class LogWatch: Sendable {
    /// What others see of it.
    struct Published: Sendable {
        var book = IncidentBook()
        /// Number of the next record.
        var read: UInt64 = 0
        var missing: UInt64 = 0
        var failure: String?
        var savedAt: Int64?
    }

    /// Records that are read at a time.
    private static let portion: UInt64 = 512
    private static let lookMilliseconds: Int32 = 200
    private static let saveSeconds: Int64 = 60
    /// Seconds after something that failed.
    private static let pauseSeconds: Int64 = 10

    let settings: AnomalySettings
    private let audit: AuditLog
    private let store: WatchStore
    private let logger: Logger
    private let post: AlertPost
    private let seen = Mutex(Published())
    private let answers = Mutex<[String: GradedAnswer]>([:])
    private let hasAnswers = Atomic(false)
    private let inbox = Mutex(Inbox())
    private let readers = Mutex<[Reader]>([])
    private let thread = Mutex<PeriodicThread?>(nil)
    private let lastTurn = Mutex<(@Sendable () -> Void)?>(nil)
    private let isStopping = Atomic(false)

    /// What the log says of records that were given to it.
    private struct Inbox: Sendable {
        var waiting = 0
        var refused: [AuditDraft] = []
    }

    private struct Reader: Sendable {
        let size: UInt64
        let continuation: CheckedContinuation<Void, Never>
    }

    /// What the thread alone touches.
    private final class Owned {
        var watch: Watch
        var follower: LogFollower
        /// Findings that the log holds beyond the place where the memory was saved.
        var recorded: Set<String> = []
        var savedAt: UInt64
        var saveTime: Int64
        /// Records that there were when this run began.
        let sizeAtStart: UInt64
        var pauseUntil: Int64 = 0
        var giveAt: Int64 = 0

        init(_ watch: Watch, _ follower: LogFollower, at time: Int64, size: UInt64) {
            sizeAtStart = size
            self.watch = watch
            self.follower = follower
            savedAt = watch.place.sequence
            saveTime = time
        }
    }

    init(_ settings: AnomalySettings, audit: AuditLog, folder: String, post: AlertPost, logger: Logger) {
        self.settings = settings
        self.audit = audit
        self.logger = logger
        self.post = post
        store = WatchStore(folder: folder)
    }

    /// Takes up where the last run ended. Blocks on the disk for as long as what lies between is read.
    /// - Throws: ``AuditError`` `.system` when there can be no thread.
    func start() throws {
        let (watch, isFresh) = restored()
        var sent: [String: UInt64]?
        do throws(WatchStore.Failure) { sent = isFresh ? nil : try store.loadSent() } catch {
            logger.error("alerts may be sent again", metadata: ["reason": "\(error.message)"])
        }
        post.start(sent, from: isFresh) { [store, logger] numbers in
            do throws(WatchStore.Failure) { try store.saveSent(numbers) } catch {
                logger.error("what was sent cannot be kept", metadata: ["reason": "\(error.message)"])
            }
        }
        let place = watch.place
        let follower = audit.follower(
            from: LogFollower.Cursor(sequence: place.sequence, segment: place.segment, offset: place.offset)
        )
        let fresh = Owned(watch, follower, at: WallClock.seconds, size: audit.size)
        nonisolated(unsafe) let owned = fresh  // The thread alone uses it.
        if isFresh { save(owned) }
        if !isFresh { owned.recorded = recordedNames(from: follower, of: watch) }
        publish(owned)
        let thread = try PeriodicThread(every: Self.lookMilliseconds, givesWay: true) { [self] in turn(owned) }
        self.thread.withLock { $0 = thread }
        lastTurn.withLock { $0 = { [self] in turn(owned) } }
        post.onDelivery { thread.wake() }
    }

    /// Returns when the thread has ended; what it knows is saved then.
    func stop() {
        let thread = self.thread.withLock { thread in
            let old = thread
            thread = nil
            return old
        }
        isStopping.store(true, ordering: .relaxed)
        thread?.stop()
        lastTurn.withLock { last in
            let turn = last
            last = nil
            return turn
        }?()
        post.stop()
        wakeReaders(at: .max)
    }

    // MARK: the thread

    /// The memory of the last run; a fresh one when there is none that can be read.
    private func restored() -> (Watch, isFresh: Bool) {
        do {
            if let bytes = try store.load() {
                let watch = try Watch(restoring: bytes, settings.context, settings.book)
                // An older copy of the log's folder was put back, or another log: nothing known belongs to it.
                if watch.place.sequence <= audit.size { return (watch, false) }
                logger.warning("the watch knows more records than there are: it begins anew")
            }
        } catch let error as WatchStore.Failure {
            logger.error("the watch begins anew", metadata: ["reason": "\(error.message)"])
        } catch let error as ArchiveError {
            logger.error("the watch begins anew", metadata: ["reason": "\(error.message)"])
        } catch {
            logger.error("the watch begins anew")
        }
        let words = Random.bytes(16)
        let keys = [words[..<8], words[8...]].map { $0.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        let watch = Watch(settings.context, settings.book, quietBefore: audit.size, key0: keys[0], key1: keys[1])
        return (watch, true)
    }

    /// Findings that the log holds from the saved place on: those of the last run that were not yet part of its memory.
    private func recordedNames(from follower: LogFollower, of watch: Watch) -> Set<String> {
        var follower = follower
        var names: Set<String> = []
        let end = audit.size
        do throws(AuditError) {
            // Nothing was recorded of what was learned from in silence.
            if follower.cursor.sequence < watch.quietBefore {
                follower = audit.follower(from: try audit.cursor(at: watch.quietBefore))
            }
            while follower.cursor.sequence < end {
                let turn = try follower.read(to: end, limit: 65_536) { line, _ in
                    if let name = Watch.name(in: line) { names.insert(name) }
                }
                if turn.count == 0, turn.missing == 0 { break }
            }
        } catch {
            logger.error("the log cannot be read by the watch", metadata: ["reason": "\(error.message)"])
        }
        return names
    }

    private func turn(_ owned: Owned) {
        let now = WallClock.seconds
        giveAgain(owned, now)
        owned.watch.delivered(through: post.deliveredByAll)
        if now >= owned.pauseUntil { readOn(owned, now) }
        publish(owned)
        if isStopping.load(ordering: .relaxed) { save(owned) } else { saveWhenDue(owned) }
    }

    private func saveWhenDue(_ owned: Owned) {
        guard WallClock.seconds >= owned.saveTime + Self.saveSeconds else { return }
        if owned.follower.cursor.sequence > owned.savedAt { save(owned) }
    }

    private func readOn(_ owned: Owned, _ now: Int64) {
        var failure: String?
        do throws(AuditError) {
            while !isStopping.load(ordering: .relaxed) {
                let end = audit.size
                guard owned.follower.cursor.sequence < end else { break }
                let turn = try owned.follower.read(to: end, limit: Self.portion) { line, sequence in
                    for told in owned.watch.consume(line, sequence) where owned.recorded.remove(told.name) == nil {
                        record(told)
                    }
                }
                if turn.missing > 0 {
                    owned.watch.skipped()
                    seen.withLock { $0.missing += turn.missing }
                    logger.notice(
                        "records were pruned before the watch has read them",
                        metadata: ["records": "\(turn.missing)"]
                    )
                }
                publish(owned)
                saveWhenDue(owned)
                if turn.count == 0, turn.missing == 0 { break }
            }
        } catch {
            failure = error.message
            owned.pauseUntil = now + Self.pauseSeconds
            logger.error("the log cannot be read by the watch", metadata: ["reason": "\(error.message)"])
        }
        seen.withLock { $0.failure = failure }
    }

    /// Makes everything known to others, and to those who are to be told.
    private func publish(_ owned: Owned) {
        let (book, read) = (owned.watch.book, owned.follower.cursor.sequence)
        seen.withLock { published in
            published.book = book
            published.read = read
        }
        let table = graded(book)
        answers.withLock { $0 = table }
        hasAnswers.store(!table.isEmpty, ordering: .releasing)
        post.publish(book.alerts, last: book.lastAlert, isWhole: read >= owned.sizeAtStart)
        wakeReaders(at: read)
    }

    private func save(_ owned: Owned) {
        guard inbox.withLock({ $0.waiting == 0 && $0.refused.isEmpty }) else { return }
        let cursor = owned.follower.cursor
        owned.watch.place = Watch.Place(sequence: cursor.sequence, segment: cursor.segment, offset: cursor.offset)
        owned.saveTime = WallClock.seconds
        do throws(WatchStore.Failure) {
            try store.save(owned.watch.saved())
            owned.savedAt = cursor.sequence
            seen.withLock { $0.savedAt = owned.saveTime }
        } catch {
            logger.error("the watch cannot keep what it knows", metadata: ["reason": "\(error.message)"])
        }
    }

    // MARK: recording

    private func record(_ told: Watch.Told) {
        let finding = told.finding
        var what = AuditWhat()
        what.details = [
            ("actor", .text(finding.actor)), ("finding", .text(told.name)), ("kind", .text(finding.kind.rawValue)),
            ("reason_en", .text(finding.english)), ("reason_fr", .text(finding.french)),
            ("score", .int(Int64((finding.score * 1000).rounded()))), ("severity", .text(finding.severity.rawValue)),
        ]
        give(
            AuditDraft(
                .anomalyRaise,
                outcome: .granted,
                correlation: Random.base62(16),
                references: finding.records,
                acceptedAt: MonotonicTime.now(),
                who: AuditWho.system,
                what: what
            )
        )
    }

    private func give(_ draft: AuditDraft) {
        inbox.withLock { $0.waiting += 1 }
        audit.append(draft) { [self] result in
            let isTaken = inbox.withLock { inbox in
                inbox.waiting -= 1
                guard case .failure = result else { return true }
                inbox.refused.append(draft)
                return false
            }
            if isTaken { thread.withLock { $0 }?.wake() }
        }
    }

    /// What the log refused is offered again: a disk that is full may have room by now.
    private func giveAgain(_ owned: Owned, _ now: Int64) {
        guard now >= owned.giveAt else { return }
        let refused = inbox.withLock { inbox in
            let refused = inbox.refused
            inbox.refused = []
            return refused
        }
        guard !refused.isEmpty else { return }
        owned.giveAt = now + Self.pauseSeconds
        for draft in refused { give(draft) }
    }

    // MARK: for others

    var published: Published { seen.withLock { $0 } }
    var channels: [AlertPost.Status] { post.status }

    private func graded(_ book: IncidentBook) -> [String: GradedAnswer] {
        guard !settings.slow.isEmpty || !settings.hold.isEmpty else { return [:] }
        var table: [String: GradedAnswer] = [:]
        for incident in book.incidents where incident.state == .open {
            if incident.kinds.contains(where: { settings.hold.contains($0) }) {
                table[incident.actor] = .hold(incident: incident.id)
            } else if table[incident.actor] == nil, incident.kinds.contains(where: { settings.slow.contains($0) }) {
                table[incident.actor] = .slow(milliseconds: Int64(settings.slowMilliseconds))
            }
        }
        return table
    }

    func answer(sid: String, path: [UInt8]) -> GradedAnswer {
        guard hasAnswers.load(ordering: .acquiring) else { return .asUsual }
        guard let answer = answers.withLock({ $0[sid] }) else { return .asUsual }
        return settings.paths.isEmpty || settings.paths.contains(where: { Self.matches($0, path) }) ? answer : .asUsual
    }

    /// A version-2 mount has `data/` or another word after its name, which `paths` leave out.
    private static func matches(_ pattern: String, _ path: [UInt8]) -> Bool {
        let isPrefix = pattern.utf8.last == 0x2a
        let wanted = isPrefix ? Array(pattern.utf8.dropLast()) : Array(pattern.utf8)
        func fits(_ path: [UInt8]) -> Bool {
            // The folder itself belongs to what is below it.
            isPrefix ? path.starts(with: wanted) || (path + [0x2f]).elementsEqual(wanted) : path.elementsEqual(wanted)
        }
        if fits(path) { return true }
        let words = path.split(separator: 0x2f, maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count == 3,
            ["data", "metadata", "delete", "undelete", "destroy", "subkeys"].contains(where: {
                words[1].elementsEqual($0.utf8)
            })
        else { return false }
        return fits(Array(words[0]) + [0x2f] + words[2])
    }

    func read(to size: UInt64) async {
        guard seen.withLock({ $0.read }) < size, !isStopping.load(ordering: .relaxed) else { return }
        thread.withLock { $0 }?.wake()
        await withCheckedContinuation { continuation in
            readers.withLock { $0.append(Reader(size: size, continuation: continuation)) }
            // It may have been read in between.
            wakeReaders(at: seen.withLock { $0.read })
            Task {
                try? await Task.sleep(for: .seconds(2))
                let late = readers.withLock { readers in
                    let late = readers.filter { $0.size == size }
                    readers.removeAll { $0.size == size }
                    return late
                }
                for reader in late { reader.continuation.resume() }
            }
        }
    }

    private func wakeReaders(at read: UInt64) {
        let done = readers.withLock { readers in
            let done = readers.filter { $0.size <= read }
            readers.removeAll { $0.size <= read }
            return done
        }
        for reader in done { reader.continuation.resume() }
    }
}
