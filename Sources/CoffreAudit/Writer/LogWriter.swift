internal import CoffreCrypto

/// Owns the log's files: encodes, chains, writes, syncs. Used by one thread at a time, the opener's and then the
/// writer's own.
struct LogWriter: ~Copyable {
    /// A batch is cut at about this many bytes, so that recovery knows how much may be unsynced.
    static let batchBytes = 1 << 20
    /// A difference of the clocks' offset above this is a jump, in microseconds.
    private static let jumpMicroseconds: Int64 = 1_000_000

    let files: any LogFileSystem
    private let clock: any LogClock
    private let signer: LogSigner
    private let segmentBytes: Int
    private let encoder: LineEncoder
    private let lock: any LogFile
    private let checkpoints: CheckpointWriter
    private let space: SegmentSpace
    private(set) var chain: ChainState
    private(set) var segment: ActiveSegment?
    private(set) var failure: AuditError?
    private var buffer = ByteBuffer(capacity: 256 * 1024)
    private var clockOffset: Int64?
    /// Records of the log about itself that go before the next ones.
    private var prologue: [PendingRecord] = []
    /// The turn of the epoch whose records are durable and whose files are not all written yet.
    private var turn: EpochTurn?

    init(
        configuration: AuditLogConfiguration,
        signer: LogSigner,
        lock: any LogFile,
        checkpoints: CheckpointWriter,
        space: SegmentSpace,
        chain: ChainState
    ) {
        self.space = space
        files = configuration.fileSystem
        clock = configuration.clock
        segmentBytes = configuration.segmentBytes
        self.signer = signer
        self.lock = lock
        self.checkpoints = checkpoints
        self.chain = chain
        encoder = LineEncoder(digestKey: signer.keys.digest)
    }

    /// Puts a record of the log itself before the next batch.
    mutating func announce(_ record: PendingRecord) { prologue.append(record) }

    /// Makes `records` durable, in order. Everything that happens on the disk happens here.
    /// - Parameter deliver: gets each batch with the frontier of the log and the time of its last record.
    mutating func append(_ records: [PendingRecord], deliver: (BatchResult, Frontier, RecordTime) -> Void) {
        var rest = records[...]
        while !rest.isEmpty || !prologue.isEmpty {
            if let failure {
                if !rest.isEmpty { deliver(BatchResult(rest, failedWith: failure), chain.frontier, chain.lastTime) }
                return
            }
            let time = BatchTime(clock)
            do throws(AuditError) {
                try prepareSegment(for: time)
                if isTurnDue(time) { try turnEpoch(at: time) }
                announceClockJump(time)
                let result = try appendOneBatch(&rest, at: time)
                deliver(result, chain.frontier, chain.lastTime)
            } catch {
                let error = space.passing(error)
                if case .noSpace = error {} else { failure = error }
                // Of a batch that failed nothing was acknowledged; it fails whole, and what waits behind it too.
                deliver(BatchResult(rest, failedWith: error), chain.frontier, chain.lastTime)
                return
            }
        }
    }

    /// Encodes up to a batch, writes and syncs it. On return `rest` lacks the records of the batch.
    private mutating func appendOneBatch(
        _ rest: inout ArraySlice<PendingRecord>,
        at time: BatchTime
    ) throws(AuditError) -> BatchResult {
        var next = chain
        var results: [Result<AuditReceipt, AuditError>] = []
        var named: [Bool] = []
        results.reserveCapacity(rest.count + prologue.count)
        named.reserveCapacity(rest.count + prologue.count)
        buffer.removeAll()
        for index in prologue.indices { encode(prologue[index].draft, at: time, &next, &results, &named) }
        var count = 0
        var proven: (before: Frontier, start: Int)?
        // Through a pointer: the drafts are looked at where they are, without copies.
        rest.withUnsafeBufferPointer { records in
            while count < records.count, buffer.count < Self.batchBytes, proven == nil {
                if records[count].isProven { proven = (next.frontier, buffer.count) }
                encode(records[count].draft, at: time, &next, &results, &named)
                count += 1
            }
        }
        let own = prologue
        let end = rest.startIndex + count
        let taken = rest[..<end]
        if buffer.count > 0 {
            try commit(next, at: time)
            for index in own.indices { tally(own[index].draft, results[index], named[index]) }
            taken.withUnsafeBufferPointer { records in
                for index in records.indices {
                    tally(records[index].draft, results[own.count + index], named[own.count + index])
                }
            }
        }
        rest = rest[end...]
        prologue.removeAll()
        var proof: [UInt8]?
        if let (before, start) = proven, chain.next > before.size {
            proof = signer.prove(line: Array(buffer.suffix(from: start).dropLast()), before: before)
        }
        return BatchResult(own: own, records: taken, results: results, proof: proof)
    }

    private mutating func tally(
        _ draft: borrowing AuditDraft,
        _ result: Result<AuditReceipt, AuditError>,
        _ isNamed: Bool
    ) {
        guard case .success = result else { return }
        segment?.tally.add(draft.operation, draft.outcome)
        if isNamed, let connector = draft.what.connector {
            segment?.tally.add(connector: ExactName(text: connector))
        }
    }

    private mutating func encode(
        _ draft: AuditDraft,
        at time: BatchTime,
        _ next: inout ChainState,
        _ results: inout [Result<AuditReceipt, AuditError>],
        _ named: inout [Bool]
    ) {
        let start = buffer.count
        do throws(AuditError) {
            if let defect = LineEncoder.defect(of: draft) { throw .invalidRecord(reason: defect) }
            let limit = try encoder.append(draft, sequence: next.next, previous: next.leaf, at: time, to: &buffer)
            let leaf = TreeHash.leaf(buffer.suffix(from: start))
            buffer.append(byte: 0x0a)
            results.append(.success(AuditReceipt(index: next.next, leafHash: leaf)))
            named.append((draft.what.connector?.utf8.count ?? .max) <= limit)
            next.leaf = leaf
            next.frontier.append(leaf: leaf)
            if draft.phase == .outcome, let generation = draft.generation {
                next.generation = max(next.generation ?? 0, generation)
            }
        } catch {
            results.append(.failure(error))
            named.append(false)
        }
    }

    /// One write and one sync; then, and only then, the state moves on.
    private mutating func commit(_ next: ChainState, at time: BatchTime) throws(AuditError) {
        guard var segment else { throw .failed(reason: "no segment is open") }
        let path = segment.name.path
        do throws(FileFailure) {
            let written = try segment.file.write(buffer.bytes, at: segment.bytes)
            if written != buffer.count { throw FileFailure(call: "pwrite", path: path, errno: 28) }
        } catch {
            let refusal = space.refusal(error, at: path)
            if case .noSpace = refusal { try takeBack(segment) }
            throw refusal
        }
        do throws(FileFailure) {
            try segment.file.syncData()
        } catch {
            throw .failed(reason: error.asAuditError.message)
        }
        try checkOwnership(segment)
        segment.raw.update(buffer.bytes)
        segment.bytes += buffer.count
        if segment.firstTime == nil { segment.firstTime = time.time }
        segment.lastTime = time.time
        self.segment = segment
        space.wrote(buffer.count, end: segment.bytes)
        chain = next
        chain.lastTime = time.time
        chain.uptime.advance(boot: clock.bootID, to: time.bootMicroseconds)
    }

    /// ENOSPC, EDQUOT, EFBIG, EROFS, EINTR: the disk said no before anything was promised.
    static func isTransient(_ errno: Int32) -> Bool { [28, 122, 27, 30, 4].contains(errno) }

    private func takeBack(_ segment: ActiveSegment) throws(AuditError) {
        do throws(FileFailure) {
            // A refusal that wrote nothing (EROFS, EDQUOT) leaves nothing to take back.
            guard try segment.file.size() != segment.bytes else { return }
            space.tookBack()
            try segment.file.truncate(to: segment.bytes)
            try segment.file.syncData()
        } catch {
            throw .failed(reason: error.asAuditError.message)
        }
    }

    /// The name still stands for the open file, and the lock is still ours.
    private func checkOwnership(_ segment: ActiveSegment) throws(AuditError) {
        do throws(FileFailure) {
            guard let named = try files.identity(of: segment.name.path), named.inode == segment.identity.inode,
                named.device == segment.identity.device, named.links == 1
            else { throw FileFailure(call: "check", path: segment.name.path, errno: 0) }
            guard try lock.identity().links == 1 else {
                throw FileFailure(call: "lock", path: segment.name.path, errno: 0)
            }
        } catch {
            switch error.call {
            case "check": throw .failed(reason: "\(segment.name.path) was removed, replaced or linked while open")
            case "lock": throw .failed(reason: "the lock file was removed while the log was open")
            default: throw .failed(reason: error.asAuditError.message)
            }
        }
    }

    private mutating func announceClockJump(_ time: BatchTime) {
        let offset = time.time.microseconds - Int64(clamping: time.bootMicroseconds)
        defer { clockOffset = offset }
        guard let before = clockOffset, (offset - before).magnitude > UInt64(Self.jumpMicroseconds) else { return }
        announce(.own(.clockJump, [("microseconds", .int(offset - before))]))
    }

    // MARK: Segments

    /// After this `segment` takes records of `time`'s day.
    private mutating func prepareSegment(for time: BatchTime) throws(AuditError) {
        if let segment {
            let isFull = segment.bytes >= segmentBytes || segment.tally.isFull
            // The segment of a turn ends with it, in the old epoch.
            if isFull || segment.day != time.time.day && !isTurnDue(time) || segment.stage == .closed {
                try closeSegment(reason: isFull ? "size" : "day", at: time)
            }
        }
        if segment == nil { try startSegment(at: time) }
    }

    private mutating func startSegment(at time: BatchTime) throws(AuditError) {
        let name = SegmentName(first: chain.next, time: time.time)
        do throws(FileFailure) {
            try files.makeFolder(name.folder, isPrivate: false)
            let spare = try space.takeSpare(as: name.path)
            let file = if let spare { spare } else { try files.create(name.path, isPrivate: false) }
            do throws(FileFailure) {
                try file.sync()
                try files.syncFolder(name.folder)
                if spare != nil { try files.syncFolder("") }
                segment = try ActiveSegment(
                    name: name,
                    file: file,
                    day: time.time.day,
                    start: chain.frontier,
                    previous: chain.leaf
                )
                space.began(file, isAllocated: spare != nil)
            } catch {
                // It holds nothing yet; a later attempt wants the number again, perhaps in another day's folder.
                do throws(FileFailure) {
                    try files.remove(name.path)
                    try files.syncFolder(name.folder)
                } catch _ {}
                throw error
            }
        } catch {
            throw space.refusal(error, at: name.path)
        }
        guard chain.next > 0 else { return }
        prologue.insert(
            .own(
                .segmentOpen,
                [
                    ("root", .text(Base64.encode(chain.frontier.root.bytes))),
                    ("size", .int(Int64(clamping: chain.next))), ("up", .int(Int64(clamping: chain.uptime.total))),
                ]
            ),
            at: 0
        )
    }

    /// Appends `segment.seal` and writes the `.seal` file. May be called again after an error that passes.
    mutating func closeSegment(reason: String, at time: BatchTime? = nil) throws(AuditError) {
        guard var current = segment else { return }
        if current.stage == .open, current.bytes > 0 {
            let time = time ?? BatchTime(clock)
            var next = chain
            var results: [Result<AuditReceipt, AuditError>] = []
            var named: [Bool] = []
            buffer.removeAll()
            let uptime = chain.uptime.advanced(boot: clock.bootID, to: time.bootMicroseconds)
            let closing = PendingRecord.closing(reason, current.tally, uptime: uptime)
            encode(closing.draft, at: time, &next, &results, &named)
            if case .failure(let error) = results.first { throw error }
            try commit(next, at: time)
            segment?.stage = .closed
        }
        guard let closed = segment else { return }
        current = closed
        if let turn { try write(turn.seal, to: EpochSeal.path(turn.number)) }
        if let seal = makeSeal(current) {
            try write(seal.note(signer), to: current.name.sealPath)
        } else {
            do throws(FileFailure) {
                try files.remove(current.name.path)
                try files.syncFolder(current.name.folder)
            } catch {
                throw .failed(reason: error.asAuditError.message)
            }
            prologue.removeAll { $0.draft.operation == .segmentOpen }
        }
        checkpoints.write(chain.frontier)
        if let turn {
            let (epochs, boot) = (signer.epochs, clock.bootID)
            try checkpoints.turn(at: chain.next) { () throws(AuditError) in try epochs.turn(at: turn.time, boot: boot) }
            self.turn = nil
        }
        space.sealed(bytes: current.bytes)
        segment = nil
    }

    private func write(_ bytes: [UInt8], to path: String) throws(AuditError) {
        do throws(FileFailure) {
            try files.makeFolder(parentFolder(of: path), isPrivate: false)
            try files.replace(path, with: bytes)
        } catch {
            throw space.refusal(error, at: path)
        }
    }

    // MARK: Epochs

    private func isTurnDue(_ time: BatchTime) -> Bool {
        chain.next > 0 && turn == nil && signer.epochs.isDue(time, boot: clock.bootID)
    }

    /// Ends the epoch: `key.rotate` and `segment.seal` in one batch, then the epoch's seal, the segment's, and last the
    /// keys. On return `segment` takes records of the new epoch. May be called again after an error that passes.
    private mutating func turnEpoch(at time: BatchTime) throws(AuditError) {
        let nextKey = try signer.epochs.prepareNext()
        if !prologue.isEmpty {
            var none: ArraySlice<PendingRecord> = []
            _ = try appendOneBatch(&none, at: time)
        }
        let number = signer.epochs.number
        let rotation = PendingRecord.rotation(
            to: NoteVerifierKey(
                name: LogIdentity.epochName(signer.origin, number + 1),
                publicKey: nextKey.publicKey
            ),
            epoch: number + 1,
            skipped: max(0, time.time.day - signer.epochs.day - 1)
        )
        guard var current = segment else { throw .failed(reason: "no segment is open") }
        let before = chain.frontier
        var next = chain
        var results: [Result<AuditReceipt, AuditError>] = []
        var named: [Bool] = []
        buffer.removeAll()
        encode(rotation.draft, at: time, &next, &results, &named)
        let line = Array(buffer.bytes.dropLast())
        current.tally.add(.keyRotate, .granted)
        let uptime = chain.uptime.advanced(boot: clock.bootID, to: time.bootMicroseconds)
        let closing = PendingRecord.closing("rotation", current.tally, uptime: uptime)
        encode(closing.draft, at: time, &next, &results, &named)
        for case .failure(let error) in results { throw error }
        try commit(next, at: time)
        segment?.tally = current.tally
        segment?.stage = .closed
        turn = EpochTurn(
            number: number,
            seal: signer.sealEpoch(line: line, before: before, next: chain.leaf, nextKey: nextKey),
            time: time
        )
        try closeSegment(reason: "rotation", at: time)
        try startSegment(at: time)
    }

    private func makeSeal(_ segment: ActiveSegment) -> SegmentSeal? {
        guard let firstTime = segment.firstTime else { return nil }
        var raw = segment.raw
        return SegmentSeal(
            bytes: UInt64(segment.bytes),
            tally: segment.tally,
            start: segment.start,
            end: chain.frontier,
            generation: chain.generation,
            leaf: chain.leaf,
            previous: segment.previous,
            raw: raw.finish(),
            firstTime: firstTime,
            lastTime: segment.lastTime
        )
    }
}
