package import CoffreCrypto

/// One card on the disk: SHA-256(salt ‖ card), then salt(16) ‖ card sealed to the log's card key, in
/// `cards/<hash>.<sid>`; with `.new` until its `subject.register` record is durable, and with `.update` what replaces it
/// once its `subject.update` record is.
struct CardFile: Sendable, Hashable {
    enum Stage: String {
        case final = ""
        case new = ".new"
        case update = ".update"
    }

    static let folder = "cards"
    static let maximumCard = 65_536
    private static let maximumFile = maximumCard + 256
    private static let minimumFile = 32 + 16 + SealedBox.overheadBytes

    /// Whose card it is: ``SubjectTable/address(kind:uid:entity:key:)``.
    let address: Digest
    let sid: String
    var stage = Stage.final

    var path: String { "\(Self.folder)/\(Hex.encode(address.bytes)).\(sid)\(stage.rawValue)" }

    func at(_ stage: Stage) -> CardFile { CardFile(address: address, sid: sid, stage: stage) }

    init(address: Digest, sid: String, stage: Stage = .final) {
        self.address = address
        self.sid = sid
        self.stage = stage
    }

    /// Nil when it is not the name of a card.
    init?(_ name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3, parts[0].utf8.count == 64,
            let address = Hex.decode(parts[0].utf8).flatMap({ Digest($0) }),
            let stage = Stage(rawValue: parts.count == 2 ? "" : "." + parts[2])
        else { return nil }
        self.init(address: address, sid: String(parts[1]), stage: stage)
    }

    /// The cards in the folder, in no order.
    static func list(_ files: any LogFileSystem) throws(FileFailure) -> [CardFile] {
        try files.names(in: folder).compactMap { CardFile($0) }
    }

    /// Writes it whole and durable; its name must be free.
    /// - Returns: the commitment.
    func write(_ card: [UInt8], _ keys: LogKeys, _ files: any LogFileSystem, at now: Int64) throws(AuditError) -> Digest
    {
        guard card.count <= Self.maximumCard else { throw .invalidRecord(reason: "its card is over 64 KiB") }
        var salted = Random.bytes(16) + card
        defer { salted.withUnsafeMutableBytes { Memory.wipe($0) } }
        let commitment = SHA256.hash(salted)
        do {
            let sealed = try salted.withUnsafeBytes { try SealedBox.seal($0, to: keys.cardPublicKey) }
            let file = try files.create(path, isPrivate: true)
            try file.writeAll(commitment.bytes + sealed, path: path)
            try files.touch(path, at: now)
            try file.sync()
            try files.syncFolder(Self.folder)
        } catch let error as FileFailure {
            throw LogWriter.isTransient(error.errno) ? .noSpace(path: path) : error.asAuditError
        } catch {
            throw .failed(reason: "a card could not be sealed")
        }
        return commitment
    }

    /// SHA-256(salt ‖ card) as the file says; nil when it was cut short.
    func commitment(_ files: any LogFileSystem) throws(FileFailure) -> Digest? {
        guard let content = try files.contents(of: path, limit: Self.maximumFile), content.count >= Self.minimumFile
        else { return nil }
        return Digest(content.prefix(32))
    }

    /// Salt (16 bytes) and card; nil when there is no such file.
    /// - Throws: ``AuditError`` `.damaged` when it is not what it commits to.
    func open(_ keys: LogKeys, _ files: any LogFileSystem) throws(AuditError) -> DisclosedCard? {
        do {
            guard let content = try files.contents(of: path, limit: Self.maximumFile) else { return nil }
            guard content.count >= Self.minimumFile, let commitment = Digest(content.prefix(32)) else {
                throw AuditError.damaged(segment: Self.folder, record: nil, reason: "a card is cut short")
            }
            let opened = try content.withUnsafeBytes { bytes in
                let box = UnsafeRawBufferPointer(rebasing: bytes[32...])
                return SharedSecret(
                    try keys.cardPrivateKey.withSecret { key in try SealedBox.open(box, privateKey: key) }
                )
            }
            guard opened.withBytes({ SHA256.hash($0) }) == commitment else {
                throw AuditError.damaged(segment: Self.folder, record: nil, reason: "a card is not the one registered")
            }
            return DisclosedCard(sid: sid, commitment: commitment, salted: opened)
        } catch let error as FileFailure {
            if error.errno == 2 { return nil }  // It has just lost this name.
            throw error.asAuditError
        } catch let error as AuditError {
            throw error
        } catch {
            throw .damaged(segment: Self.folder, record: nil, reason: "a card does not open")
        }
    }
}

/// A card with its salt: whoever has both can check them against the record in the log.
package struct DisclosedCard: Sendable {
    package let sid: String
    /// SHA-256(salt ‖ card), as `subject.register` or `subject.update` says it.
    package let commitment: Digest
    /// salt(16) ‖ card.
    private let salted: SharedSecret

    init(sid: String, commitment: Digest, salted: SharedSecret) {
        self.sid = sid
        self.commitment = commitment
        self.salted = salted
    }

    package func withSalt<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try salted.withBytes { bytes throws(E) in try body(UnsafeRawBufferPointer(rebasing: bytes[..<16])) }
    }

    package var card: SecretBytes {
        salted.withBytes { SecretBytes(copying: UnsafeRawBufferPointer(rebasing: $0[16...])) }
    }

    package func withCard<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try salted.withBytes { bytes throws(E) in try body(UnsafeRawBufferPointer(rebasing: bytes[16...])) }
    }
}
