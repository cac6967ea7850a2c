internal import CoffreCrypto
internal import Synchronization

/// Pseudonyms of people and services, found by keyed hash; what resolves them lies in sealed cards (``CardFile``).
///
/// The listing of `cards/` is the table, less those that were erased.
final class SubjectTable: Sendable {
    /// What is known of a subject.
    private struct Known {
        let sid: String
        /// The day, counted from 1970, on which its card was last marked as used; 0 when not by this run.
        var day: Int64 = 0
    }

    static let day: Int64 = 86_400_000_000

    private let files: any LogFileSystem
    private let keys: LogKeys
    private let clock: any LogClock
    private let known: Mutex<[Digest: Known]>
    /// Pseudonyms that nothing may resolve any more.
    private let erased: Mutex<Set<String>>

    /// A card whose registration or update was interrupted: its record is written again.
    struct Interrupted: Sendable {
        let file: CardFile
        let commitment: Digest
    }

    /// Registrations; updates are ``CardKeeper``'s.
    let interrupted: [Interrupted]

    /// Lists `cards/`, made when missing.
    init(files: any LogFileSystem, keys: LogKeys, clock: any LogClock) throws(AuditError) {
        self.files = files
        self.keys = keys
        self.clock = clock
        var known: [Digest: Known] = [:]
        var interrupted: [Interrupted] = []
        var erased: Set<String> = []
        do throws(FileFailure) {
            try files.makeFolder(CardFile.folder, isPrivate: true)
            erased = Set(try ErasureProof.list(files).names.map(\.sid))
            for card in try CardFile.list(files) where !erased.contains(card.sid) && card.stage != .update {
                if card.stage == .final {
                    known[card.address] = Known(sid: card.sid)
                } else if let commitment = try card.commitment(files) {
                    known[card.address] = Known(sid: card.sid)
                    interrupted.append(Interrupted(file: card, commitment: commitment))
                } else {
                    try files.remove(card.path)  // cut short before its record was queued: nobody was ever called that
                }
            }
        } catch {
            throw error.asAuditError
        }
        self.known = Mutex(known)
        self.erased = Mutex(erased)
        self.interrupted = interrupted
    }

    /// The pseudonym, made and registered at first sight.
    ///
    /// Once a day its card is marked as used. A mark that cannot be made, or is lost in a power cut, is made the next day.
    /// - Parameter register: queues the record; calls back on the writer's thread.
    func subject(
        kind: AuditWho.Kind,
        uid: UInt32?,
        entity: String?,
        card: [UInt8],
        register: (PendingRecord) -> AuditError?
    ) throws(AuditError) -> String {
        let hash = Self.address(kind: kind, uid: uid, entity: entity, key: keys.digest)
        let now = clock.realMicroseconds()
        let today = now / Self.day
        let result: Result<(sid: String, isOfToday: Bool), AuditError> = known.withLock { known in
            if let subject = known[hash] {
                known[hash]?.day = max(today, subject.day)
                return .success((subject.sid, subject.day >= today))
            }
            do throws(AuditError) {
                let sid = try add(hash, card: card, at: now, register: register)
                known[hash] = Known(sid: sid, day: today)
                return .success((sid, true))
            } catch {
                return .failure(error)
            }
        }
        let (sid, isOfToday) = try result.get()
        if !isOfToday { mark(CardFile(address: hash, sid: sid), at: now) }
        return sid
    }

    /// Never back in time: the clock may be wrong.
    private func mark(_ card: CardFile, at now: Int64) {
        do throws(FileFailure) {
            guard let last = try files.modified(card.path), last < now else { return }
            try files.touch(card.path, at: now)
        } catch {}
    }

    /// `HMAC(K, len ‖ "subject" ‖ len ‖ value)`, value = each part as presence(1) ‖ length(8) ‖ bytes.
    static func address(kind: AuditWho.Kind, uid: UInt32?, entity: String?, key: HMACKey) -> Digest {
        var input: [UInt8] = []
        for part in [kind.rawValue, uid.map { String($0) }, entity] {
            input.append(part == nil ? 0 : 1)
            let bytes = Array((part ?? "").utf8)
            input += DigestInput.lengthPrefix(bytes.count) + bytes
        }
        return input.withUnsafeBytes { DigestInput.subject.digest(of: $0, key: key) }
    }

    private func add(
        _ hash: Digest,
        card: [UInt8],
        at now: Int64,
        register: (PendingRecord) -> AuditError?
    ) throws(AuditError) -> String {
        let file = CardFile(address: hash, sid: "s-" + Random.base62(22), stage: .new)
        let commitment = try file.write(card, keys, files, at: now)
        if let error = register(record(Interrupted(file: file, commitment: commitment), forgets: true)) { throw error }
        return file.sid
    }

    /// The `subject.register` record of a card; once durable, the card gets its final name.
    /// - Parameter forgets: whether a record that cannot be written makes the subject unknown.
    func record(_ card: Interrupted, forgets: Bool = false) -> PendingRecord {
        .own(
            .subjectRegister,
            Self.details(card),
            waiter: .log { [self] result in
                switch result {
                case .success:
                    // A failure leaves the `.new` name: the next start registers the card again.
                    do throws(FileFailure) {
                        try files.rename(card.file.path, to: card.file.at(.final).path)
                        try files.syncFolder(CardFile.folder)
                    } catch {}
                case .failure:
                    if forgets { known.withLock { _ = $0.removeValue(forKey: card.file.address) } }
                }
            }
        )
    }

    /// What `subject.register` and `subject.update` say.
    static func details(_ card: Interrupted) -> [AuditWhat.Detail] {
        [("card", .text(Base64.encode(card.commitment.bytes))), ("sid", .text(card.file.sid))]
    }

    /// From now on nothing resolves `sid`, and its subject gets another pseudonym.
    func forget(_ sid: String) {
        erased.withLock { _ = $0.insert(sid) }
        known.withLock { known in
            for (address, subject) in known where subject.sid.utf8.elementsEqual(sid.utf8) { known[address] = nil }
        }
    }

    func isErased(_ sid: String) -> Bool { erased.withLock { $0.contains(sid) } }

    /// The card of `sid` with its salt. Nil when it was erased.
    /// - Throws: ``AuditError`` `.damaged` when the card is not the one that was committed to.
    func disclose(_ sid: String) throws(AuditError) -> DisclosedCard? {
        guard ErasureProof.isValidSid(sid), !isErased(sid) else { return nil }
        let cards: [CardFile]
        do throws(FileFailure) {
            cards = try CardFile.list(files).filter { $0.sid.utf8.elementsEqual(sid.utf8) }
        } catch {
            throw error.asAuditError
        }
        let update = cards.first { $0.stage == .update }
        guard let card = cards.first(where: { $0.stage != .update }) else { return try update?.open(keys, files) }
        do throws(AuditError) {
            if let found = try card.open(keys, files) { return found }
            // Its registration has become durable in the meantime.
            return card.stage == .new ? try card.at(.final).open(keys, files) : nil
        } catch {
            // While it is replaced the old one may be half gone, and the new one is whole.
            guard case .damaged = error, let update else { throw error }
            return try update.open(keys, files)
        }
    }
}
