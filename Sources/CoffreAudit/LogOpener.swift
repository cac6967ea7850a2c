internal import CoffreCrypto

/// Brings a log folder to the state in which records can be appended: genesis on first use, else recovery.
struct LogOpener {
    /// What `open` found and made.
    struct Opened: ~Copyable {
        let origin: String
        let keys: LogKeys
        let epochs: EpochKeys
        let lock: any LogFile
        let instance: String
        var writer: LogWriter
        let checkpoints: CheckpointWriter
        let disk: DiskWatch
        let lastGeneration: UInt64?
        let outside: OutsideKeeper
    }

    private let configuration: AuditLogConfiguration
    private var files: any LogFileSystem { configuration.fileSystem }

    init(_ configuration: AuditLogConfiguration) { self.configuration = configuration }

    func open() throws(AuditError) -> Opened {
        guard configuration.segmentBytes >= 1, configuration.queueLimit >= 1 else {
            throw .invalidConfiguration(reason: "segment_bytes and the queue limit must be positive")
        }
        try files.prepareRoot(create: true)
        let lock = try files.lock("lock")
        let disk = DiskWatch(configuration)
        try disk.begin()
        do throws(AuditError) {
            return try open(lock, disk)
        } catch {
            // The disk is full already: the reserve is for this too.
            guard error.isWantOfSpace, disk.giveReserveUp() else { throw error }
            return try open(lock, disk)
        }
    }

    private func open(_ lock: any LogFile, _ disk: DiskWatch) throws(AuditError) -> Opened {
        let segments = try SegmentName.list(files)
        try checkNothingIsMissing(segments)
        try syncFolders(of: segments)
        let stored = try read(LogIdentity.path, limit: 2048)
        guard stored == nil || !segments.isEmpty else {
            throw .damaged(segment: SegmentName.root, record: 0, reason: "log.vkey is there but no segment is")
        }
        let keys = try LogKeys.load(from: files, material: configuration.keys, create: segments.isEmpty)
        let origin = try origin(stored, segments: segments)
        let epochKeys = try EpochKeys.load(configuration, keys, create: segments.isEmpty)
        let signer = LogSigner(origin: origin, keys: keys, epochs: epochKeys)
        let identity = stored.flatMap { LogIdentity($0) } ?? LogIdentity(origin: origin, keys: keys, epochs: epochKeys)
        guard identity.stable.publicKey == keys.stable.publicKey else {
            throw .damaged(segment: LogIdentity.path, record: nil, reason: "it does not name the log's keys")
        }
        let epochs = try epochs(identity, epochKeys)
        let (checkpoint, note) = try signedHead(epochs)
        let outside = try OutsideKeeper(configuration.outside, files: files, clock: configuration.clock, origin: origin)
        // Before anything is changed: a log that was rolled back is evidence.
        try outside.gate(checkpoint, note: note)
        let recovery = LogRecovery(files: files, epochs: epochs, signer: signer, checkpoint: checkpoint)
        let (chain, crashed) = try recovery.run(segments)
        try checkProofs(epochs, chain)
        let now = BatchTime(configuration.clock)
        try recovery.finishTurn(segments, chain, at: now, boot: configuration.clock.bootID)
        let torn = try recovery.unrecordedTails()
        let lastGeneration = chain.generation
        let isNew = chain.next == 0
        let checkpoints = CheckpointWriter(files: files, signer: signer, size: checkpoint?.size ?? 0)
        var writer = LogWriter(
            configuration: configuration,
            signer: signer,
            lock: lock,
            checkpoints: checkpoints,
            space: disk.segments,
            chain: chain
        )
        if isNew {
            writer.announce(genesis(origin, keys: keys, identity: identity))
            writer.announce(.own(.segmentOpen, [("size", .int(0))]))
        }
        for record in recovery.records(crashed, torn: torn) { writer.announce(record) }
        let instance = Hex.encode(Random.bytes(16))
        let inode = try describe { () throws(FileFailure) in try lock.identity().inode }
        writer.announce(
            .own(
                .daemonStart,
                [
                    ("instance", .text(instance)), ("keys", .text(configuration.keys.location.rawValue)),
                    ("lock", .int(Int64(clamping: inode))), ("version", .text(configuration.softwareVersion)),
                ]
            )
        )
        writer.append([]) { _, _, _ in }
        if let failure = writer.failure { throw failure }
        guard writer.chain.next > chain.next else { throw .noSpace(path: configuration.directory) }
        try describe { () throws(FileFailure) in
            // Last of all, so that its presence proves that genesis is durable.
            if stored == nil { try files.replace(LogIdentity.path, with: identity.text) }
            try recovery.markRecorded(torn)
        }
        return Opened(
            origin: origin,
            keys: keys,
            epochs: epochKeys,
            lock: lock,
            instance: instance,
            writer: writer,
            checkpoints: checkpoints,
            disk: disk,
            lastGeneration: lastGeneration,
            outside: outside
        )
    }

    /// The epochs that the folder proves: up to the one whose key there is, or one more when a turn was interrupted.
    private func epochs(_ identity: LogIdentity, _ keys: EpochKeys) throws(AuditError) -> EpochChain {
        let (chain, defect) = try describe { () throws(FileFailure) in try EpochChain.load(files, identity) }
        if let defect { throw .damaged(segment: defect.file, record: nil, reason: defect.reason) }
        guard chain.number == keys.number || chain.number == keys.number + 1 else {
            throw .damaged(
                segment: EpochSeal.folder,
                record: nil,
                reason: "the key is that of epoch \(keys.number), the seals reach epoch \(chain.number)"
            )
        }
        guard chain.key(of: keys.number) == keys.live.publicKey else {
            throw .keysUnavailable(reason: "\(EpochKeys.path) is not the key of this log's epoch \(keys.number)")
        }
        return chain
    }

    /// What the `checkpoint` file says; nil when there is none, as before the first seal.
    private func signedHead(_ epochs: EpochChain) throws(AuditError) -> (Checkpoint?, note: [UInt8]?) {
        guard let note = try read(Checkpoint.path, limit: Checkpoint.maximumBytes) else {
            // One is written long before an epoch ends.
            guard epochs.number == 0 else {
                throw .damaged(segment: Checkpoint.path, record: nil, reason: "it is missing")
            }
            return (nil, nil)
        }
        guard let checkpoint = Checkpoint(note: note, epochs: epochs) else {
            throw .damaged(
                segment: Checkpoint.path,
                record: nil,
                reason: "it is not a checkpoint signed with both keys of this log"
            )
        }
        return (checkpoint, note)
    }

    /// The heads under which holds are proven, and the newest prunes: a log that holds less was rolled back.
    private func checkProofs(_ epochs: EpochChain, _ chain: ChainState) throws(AuditError) {
        let found: [(size: UInt64, file: String)] = try describe { () throws(FileFailure) in
            var heads = try LegalHold.load(files, epochs).holds.map { ($0.head.size, LegalHold.path($0.id)) }
            guard try files.identity(of: PruneCertificate.folder) != nil else { return heads }
            let names = try files.names(in: PruneCertificate.folder).filter { $0.hasSuffix(".tlog-proof") }
            for name in names.sorted().suffix(Self.proofsAtStart) {
                let file = "\(PruneCertificate.folder)/\(name)"
                let text = try files.contents(of: file, limit: RecordProof.maximumBytes) ?? []
                if let proof = RecordProof(text, epochs: epochs) { heads.append((proof.checkpoint.size, file)) }
            }
            return heads
        }
        guard let (size, file) = found.max(by: { $0.size < $1.size }), size > chain.next else { return }
        let reason = "it is signed and covers \(size) records, and only \(chain.next) are there: the end was cut off"
        throw .damaged(segment: file, record: chain.next, reason: reason)
    }

    /// Certificates that a start reads: the rest is for verifiers.
    private static let proofsAtStart = 16

    /// Segments that are not there were pruned. That the proofs are good is for verifiers to say.
    private func checkNothingIsMissing(_ segments: [SegmentName.Listed]) throws(AuditError) {
        for segment in segments where segment.data == .none {
            let path = PruneCertificate.path(segment.name.first)
            guard try describe({ () throws(FileFailure) in try files.identity(of: path) }) == nil else { continue }
            let reason = "its records are missing, and nothing says that it was pruned"
            throw .damaged(segment: segment.name.path, record: segment.name.first, reason: reason)
        }
    }

    /// A name that a crashed start has made may be visible and not durable yet. What is built on must be.
    private func syncFolders(of segments: [SegmentName.Listed]) throws(AuditError) {
        try describe { () throws(FileFailure) in
            try files.syncFolder("")
            if try files.identity(of: "keys") != nil { try files.syncFolder("keys") }
            for segment in segments.suffix(2) { try files.syncFolder(segment.name.folder) }
        }
    }

    private func read(_ path: String, limit: Int) throws(AuditError) -> [UInt8]? {
        try describe { () throws(FileFailure) in try files.contents(of: path, limit: limit) }
    }

    private func describe<R>(_ body: () throws(FileFailure) -> R) throws(AuditError) -> R {
        do throws(FileFailure) { return try body() } catch { throw error.asAuditError }
    }

    /// The log's name: as at genesis, or from the configuration before genesis.
    private func origin(
        _ stored: [UInt8]?,
        segments: [SegmentName.Listed]
    ) throws(AuditError) -> String {
        let wanted = configuration.origin
        if let stored {
            guard let identity = LogIdentity(stored) else {
                throw .damaged(segment: LogIdentity.path, record: nil, reason: "it is not two keys in C2SP form")
            }
            guard wanted.isEmpty || wanted.utf8.elementsEqual(identity.origin.utf8) else {
                throw .invalidConfiguration(
                    reason: "this log is named \(identity.origin) since its genesis; set [audit] origin to that name"
                )
            }
            return identity.origin
        }
        // Without log.vkey only the very first start can have been interrupted.
        guard segments.count <= 1 else {
            throw .damaged(segment: LogIdentity.path, record: nil, reason: "it is missing")
        }
        guard configuration.continues.map({ $0.origin.utf8.elementsEqual(wanted.utf8) }) != true else {
            throw .invalidConfiguration(
                reason: "a log that takes the place of \(wanted) needs another [audit] origin: witnesses know that one"
            )
        }
        guard LogIdentity.isValidOrigin(wanted) else {
            throw .invalidConfiguration(
                reason: "[audit] origin must be 1 to 200 printable ASCII characters without space and +"
            )
        }
        return wanted
    }

    /// The witnesses at the beginning, by name.
    private var witnessPolicy: String {
        let names = configuration.outside.witnesses.map(\.name)
        return names.isEmpty ? "none" : names.joined(separator: " ")
    }

    private func genesis(_ origin: String, keys: LogKeys, identity: LogIdentity) -> PendingRecord {
        let created = RecordTime(microseconds: configuration.clock.realMicroseconds())
        return .own(
            .genesis,
            [
                ("card", .text(Base64.encode(keys.cardPublicKey))),
                ("created", .text(String(decoding: created.utf8, as: UTF8.self))),
                ("digest", .text(Base64.encode(keys.digestCommitment.bytes))),
                ("epoch", .text(identity.epoch.text)),
                ("format", .int(1)),
                ("hash", .text("sha-256")),
                ("key", .text(identity.stable.text)),
                ("origin", .text(origin)),
                ("random", .text(Hex.encode(Random.bytes(32)))),
                ("retention", .int(Int64(configuration.retentionMonths))),
                ("segment", .int(Int64(configuration.segmentBytes))),
                ("witness", .text(witnessPolicy)),
            ] + (configuration.continues?.details ?? [])
        )
    }
}

extension AuditLogConfiguration.KeyMaterial {
    var location: AuditHealth.KeyLocation {
        switch self {
        case .credential: .credential
        case .file: .file
        }
    }
}
