internal import CoffreCrypto
internal import Synchronization

/// Pseudonyms of people and services, found by keyed hash; what resolves them lies in sealed cards.
///
/// `cards/<hash>.<sid>` is one card: SHA-256(salt ‖ card), then salt(16) ‖ card sealed to the log's card key. The
/// folder's listing is the table. A card is named `<hash>.<sid>.new` until its `subject.register` record is durable.
final class SubjectTable: Sendable {
    static let folder = "cards"
    private static let maximumCard = 65_536

    private let files: any LogFileSystem
    private let keys: LogKeys
    private let known: Mutex<[Digest: String]>

    /// A card whose registration was interrupted: its record is written again.
    struct Interrupted: Sendable {
        let file: String
        let sid: String
        let commitment: Digest
    }

    let interrupted: [Interrupted]

    /// Lists `cards/`, made when missing.
    init(files: any LogFileSystem, keys: LogKeys) throws(AuditError) {
        self.files = files
        self.keys = keys
        var known: [Digest: String] = [:]
        var interrupted: [Interrupted] = []
        do throws(FileFailure) {
            try files.makeFolder(Self.folder, isPrivate: true)
            for name in try files.names(in: Self.folder) {
                let parts = name.split(separator: ".", omittingEmptySubsequences: false)
                guard parts.count == 2 || parts.count == 3, let hash = Self.key(parts[0]) else { continue }
                let path = "\(Self.folder)/\(name)"
                if parts.count == 2 {
                    known[hash] = String(parts[1])
                } else if let content = try files.contents(of: path, limit: Self.maximumCard + 256),
                    let commitment = Digest(content.prefix(32)), content.count >= 32 + 16 + SealedBox.overheadBytes
                {
                    known[hash] = String(parts[1])
                    interrupted.append(Interrupted(file: path, sid: String(parts[1]), commitment: commitment))
                } else {
                    try files.remove(path)  // cut short before its record was queued: nobody was ever called that
                }
            }
        } catch {
            throw error.asAuditError
        }
        self.known = Mutex(known)
        self.interrupted = interrupted
    }

    private static func key(_ text: Substring) -> Digest? {
        guard text.utf8.count == 64 else { return nil }
        return Hex.decode(text.utf8).flatMap { Digest($0) }
    }

    /// The pseudonym, made and registered at first sight.
    /// - Parameter register: queues the record; calls back on the writer's thread.
    func subject(
        kind: AuditWho.Kind,
        uid: UInt32?,
        entity: String?,
        card: [UInt8],
        register: (PendingRecord) -> AuditError?
    ) throws(AuditError) -> String {
        let hash = Self.address(kind: kind, uid: uid, entity: entity, key: keys.digest)
        let result: Result<String, AuditError> = known.withLock { known in
            if let sid = known[hash] { return .success(sid) }
            do throws(AuditError) {
                let sid = try add(hash, card: card, register: register)
                known[hash] = sid
                return .success(sid)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
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
        register: (PendingRecord) -> AuditError?
    ) throws(AuditError) -> String {
        guard card.count <= Self.maximumCard else { throw .invalidRecord(reason: "its card is over 64 KiB") }
        let sid = "s-" + Random.base62(22)
        let salted = Random.bytes(16) + card
        let commitment = SHA256.hash(salted)
        let file = "\(Self.folder)/\(Hex.encode(hash.bytes)).\(sid).new"
        do {
            let sealed = try salted.withUnsafeBytes { try SealedBox.seal($0, to: keys.cardPublicKey) }
            let card = try files.create(file, isPrivate: true)
            try card.writeAll(commitment.bytes + sealed, path: file)
            try card.sync()
            try files.syncFolder(Self.folder)
        } catch let error as FileFailure {
            throw LogWriter.isTransient(error.errno) ? .noSpace(path: file) : error.asAuditError
        } catch {
            throw .failed(reason: "a card could not be sealed")
        }
        if let error = register(record(Interrupted(file: file, sid: sid, commitment: commitment), address: hash)) {
            throw error
        }
        return sid
    }

    /// The `subject.register` record of a card; once durable, the card gets its final name.
    func record(_ card: Interrupted, address: Digest? = nil) -> PendingRecord {
        .own(
            .subjectRegister,
            [("card", .text(Base64.encode(card.commitment.bytes))), ("sid", .text(card.sid))],
            waiter: .log { [self] result in
                switch result {
                case .success:
                    // A failure leaves the `.new` name: the next start registers the card again.
                    do throws(FileFailure) {
                        try files.rename(card.file, to: String(card.file.dropLast(4)))
                        try files.syncFolder(Self.folder)
                    } catch {}
                case .failure:
                    if let address { known.withLock { _ = $0.removeValue(forKey: address) } }
                }
            }
        )
    }

    /// The card of `sid`: what its registration was given. Nil when it was erased.
    /// - Throws: ``AuditError`` `.damaged` when the card is not the one that was committed to.
    func card(of sid: String) throws(AuditError) -> SecretBytes? {
        do {
            let suffix = "." + sid
            guard
                let name = try files.names(in: Self.folder).first(where: {
                    $0.hasSuffix(suffix) || $0.hasSuffix(suffix + ".new")
                }), let content = try files.contents(of: "\(Self.folder)/\(name)", limit: Self.maximumCard + 256),
                content.count >= 32 + 16 + SealedBox.overheadBytes
            else { return nil }
            let opened = try content.withUnsafeBytes { bytes in
                let box = UnsafeRawBufferPointer(rebasing: bytes[32...])
                return SharedSecret(
                    try keys.cardPrivateKey.withSecret { key in try SealedBox.open(box, privateKey: key) }
                )
            }
            guard opened.withBytes({ SHA256.hash($0) }).bytes == Array(content.prefix(32)) else {
                throw AuditError.damaged(segment: Self.folder, record: nil, reason: "a card is not the one registered")
            }
            return opened.withBytes { SecretBytes(copying: UnsafeRawBufferPointer(rebasing: $0[16...])) }
        } catch let error as FileFailure {
            throw error.asAuditError
        } catch let error as AuditError {
            throw error
        } catch {
            throw .damaged(segment: Self.folder, record: nil, reason: "a card does not open")
        }
    }
}
