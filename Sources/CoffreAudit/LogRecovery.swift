internal import CoffreCrypto

/// What a start does with the log it finds (crash recovery, specification 3.7).
struct LogRecovery {
    static let tornFolder = "torn"
    /// Largest unreadable tail that is kept, in bytes.
    private static let maximumTail = 512 * 1_048_576

    let files: any LogFileSystem
    let epochs: EpochChain
    let signer: LogSigner
    /// The newest signed tree head: it never covers more than what is durable.
    let checkpoint: Checkpoint?

    /// A segment that a crash had left open and that has been sealed now.
    struct Crashed {
        let path: String
        let bytes: Int
        let tally: SegmentTally
        /// Records that no checkpoint had signed: they are chained, and taken as what a crash left.
        let unsigned: UInt64
    }

    /// A torn tail saved under `torn/`, for which no record is durable yet.
    struct Tail {
        let file: String
        let bytes: Int
        let hash: Digest
    }

    /// Finds the end of the chain. A segment left open is cut after its last good record, synced and sealed.
    func run(_ segments: [SegmentName.Listed]) throws(AuditError) -> (chain: ChainState, crashed: Crashed?) {
        if let open = segments.dropLast().first(where: { !$0.isSealed }) {
            throw .damaged(segment: open.name.path, record: nil, reason: "its seal is missing")
        }
        var chain = ChainState()
        if let sealed = segments.last(where: { $0.isSealed })?.name {
            chain = try readSeal(of: sealed)
        }
        guard let last = segments.last, !last.isSealed else {
            try checkNothingIsMissing(after: chain, in: segments.last?.name.path ?? SegmentName.root)
            return (chain, nil)
        }
        guard last.name.first == chain.next else {
            throw .damaged(
                segment: last.name.path,
                record: chain.next,
                reason: "the record after the last seal is \(chain.next), the segment begins with \(last.name.first)"
            )
        }
        let crashed = try recover(last.name, &chain)
        return (chain, crashed)
    }

    /// A checkpoint that covers more than there is, or another tree, says that records were taken away.
    private func checkNothingIsMissing(after chain: ChainState, in path: String) throws(AuditError) {
        guard let checkpoint else { return }
        if checkpoint.size > chain.next {
            throw .damaged(segment: path, record: chain.next, reason: checkpoint.shortfall(chain.next))
        }
        var expected = ExpectedRoots([(checkpoint, Checkpoint.path)])
        if let reason = expected.defect(at: chain.frontier) {
            throw .damaged(segment: path, record: chain.next, reason: reason)
        }
    }

    private func readSeal(of name: SegmentName) throws(AuditError) -> ChainState {
        do throws(FileFailure) {
            guard let note = try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes),
                let seal = SegmentSeal(note: note, epochs: epochs), seal.first == name.first
            else { return try fail(name.sealPath, nil, "it is not a seal of this log for this segment") }
            let file = try files.openSegment(name)
            guard try file.size() == Int(clamping: seal.bytes) else {
                return try fail(name.path, nil, "its length is not what its seal says")
            }
            let last = try lastLine(of: file, bytes: Int(clamping: seal.bytes))
            guard let last, last.withUnsafeBytes({ TreeHash.leaf($0) }) == seal.leaf else {
                return try fail(name.path, seal.last, "its last record is not the one its seal names")
            }
            return ChainState(
                frontier: seal.end,
                leaf: seal.leaf,
                generation: seal.generation,
                lastTime: seal.lastTime,
                uptime: try uptime(last, of: file, seal)
            )
        } catch {
            throw Self.audit(error)
        }
    }

    // Damage travels as a FileFailure through the blocks that read files, and becomes AuditError at their end.
    private func fail<R>(_ path: String, _ record: UInt64?, _ reason: String) throws(FileFailure) -> R {
        throw FileFailure(call: "damaged \(record.map(String.init) ?? "-") \(reason)", path: path, errno: 0)
    }

    private static func audit(_ failure: FileFailure) -> AuditError {
        let parts = failure.call.split(separator: " ", maxSplits: 2)
        guard parts.count == 3, parts[0] == "damaged" else { return failure.asAuditError }
        return .damaged(segment: failure.path, record: UInt64(parts[1]), reason: String(parts[2]))
    }

    private func lastLine(of file: any LogFile, bytes: Int) throws(FileFailure) -> [UInt8]? {
        let length = min(bytes, LineEncoder.maximumLineBytes + 2)
        let tail = try read(file, from: bytes - length, count: length)
        guard tail.last == 0x0a else { return nil }
        let line = tail.dropLast()
        let start = line.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
        return Array(line[start...])
    }

    /// What the last record of a segment says; of one that a crash had left open, all of them are asked.
    private func uptime(
        _ last: [UInt8],
        of file: any LogFile,
        _ seal: SegmentSeal
    ) throws(FileFailure) -> LogUptime {
        var uptime = LogUptime()
        var form = RecordForm()
        let isClosing = last.withUnsafeBytes { line in
            guard form.read(line) == nil, form.operation == .segmentSeal else { return false }
            uptime.read(line, form)
            return form.detailNumber("up", in: line) != nil
        }
        if isClosing { return uptime }
        uptime = LogUptime()
        var scanner = SegmentScanner(start: seal.start, previous: seal.previous, generation: nil)
        _ = try scanner.scan(file) { line, form in
            uptime.read(line, form)
            return nil
        }
        return uptime
    }

    private func read(_ file: any LogFile, from offset: Int, count: Int) throws(FileFailure) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 16)
        defer { buffer.deallocate() }
        var done = 0
        while done < count {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<count])
            let read = try file.read(at: offset + done, into: room)
            if read == 0 { break }
            done += read
        }
        return Array(buffer[..<done])
    }

    private func recover(_ name: SegmentName, _ chain: inout ChainState) throws(AuditError) -> Crashed? {
        do throws(FileFailure) {
            let file = try files.open(name.path, writable: true)
            var expected = ExpectedRoots(checkpoint.map { [($0, Checkpoint.path)] } ?? [])
            if let reason = expected.defect(at: chain.frontier) { return try fail(name.path, chain.next, reason) }
            var scanner = SegmentScanner(
                start: chain.frontier,
                previous: chain.leaf,
                generation: chain.generation,
                expected: expected
            )
            var uptime = LogUptime()
            let defect = try scanner.scan(file) { line, form in
                uptime.read(line, form)
                return form.genesisDefect(line, epochs.identity)
            }
            let good = scanner.goodBytes
            // What a checkpoint covers was durable: no crash takes it away.
            if let checkpoint, checkpoint.size > scanner.frontier.size {
                let reason = checkpoint.shortfall(scanner.frontier.size)
                return try fail(name.path, scanner.frontier.size, defect.map { "\(reason) (\($0.reason))" } ?? reason)
            }
            if let defect { try cut(file, name, at: good, defect) }
            try resync(file, upTo: good, path: name.path)
            // Blocks that were set aside behind the end go back to the disk.
            try file.truncate(to: good)
            guard let seal = scanner.makeSeal() else {
                try files.remove(name.path)
                try files.syncFolder(name.folder)
                return nil
            }
            try files.replace(name.sealPath, with: seal.note(signer))
            chain = ChainState(
                frontier: scanner.frontier,
                leaf: scanner.leaf,
                generation: scanner.generation,
                lastTime: scanner.lastTime,
                uptime: uptime
            )
            var tally = scanner.tally
            if scanner.lastOperation == .segmentSeal { tally.removeClosingRecord() }
            let unsigned = scanner.frontier.size - min(scanner.frontier.size, max(name.first, checkpoint?.size ?? 0))
            return Crashed(path: name.path, bytes: good, tally: tally, unsigned: unsigned)
        } catch {
            throw Self.audit(error)
        }
    }

    /// Saves the torn tail and cuts it off; refuses when what follows is not what a torn write leaves.
    private func cut(
        _ file: any LogFile,
        _ name: SegmentName,
        at offset: Int,
        _ defect: SegmentScanner.Defect
    ) throws(FileFailure) {
        let size = try file.size()
        guard size - offset <= Self.maximumTail else {
            return try fail(name.path, defect.record, defect.reason)
        }
        let tail = try read(file, from: offset, count: size - offset)
        // A whole record among the bytes, even the bad one itself, was not torn by a crash: somebody changed the log.
        var form = RecordForm()
        for line in tail.split(separator: 0x0a, omittingEmptySubsequences: false).dropLast() {
            if Array(line).withUnsafeBytes({ form.read($0) }) == nil {
                return try fail(name.path, defect.record, defect.reason)
            }
        }
        try files.makeFolder(Self.tornFolder, isPrivate: false)
        let stem = lastPart(of: name.path).split(separator: ".")[0]
        try files.replace("\(Self.tornFolder)/\(stem)-\(offset).tail", with: tail)
        try file.truncate(to: offset)
        try file.sync()
    }

    /// Writes the end of the file again and syncs it: after a failed sync the page cache may hold what the disk does
    /// not, and call it clean (see fsync(2)).
    private func resync(_ file: any LogFile, upTo length: Int, path: String) throws(FileFailure) {
        let count = min(length, LogWriter.batchBytes + 2 * LineEncoder.maximumLineBytes)
        guard count > 0 else { return }
        let bytes = try read(file, from: length - count, count: count)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: bytes)
        guard try file.write(UnsafeRawBufferPointer(buffer), at: length - count) == count else {
            throw FileFailure(call: "pwrite", path: path, errno: 28)
        }
        try file.sync()
    }

    // MARK: Telling it

    /// Tails that were saved and cut, and for which the `recovery` record may be missing.
    func unrecordedTails() throws(AuditError) -> [Tail] {
        do throws(FileFailure) {
            guard try files.identity(of: Self.tornFolder) != nil else { return [] }
            var tails: [Tail] = []
            for file in try files.names(in: Self.tornFolder).sorted() where file.hasSuffix(".tail") {
                let path = "\(Self.tornFolder)/\(file)"
                let bytes = try files.contents(of: path, limit: Self.maximumTail) ?? []
                tails.append(Tail(file: path, bytes: bytes.count, hash: SHA256.hash(bytes)))
            }
            return tails
        } catch {
            throw error.asAuditError
        }
    }

    /// One `recovery` record for each tail, and one for the segment that had been left open.
    func records(_ crashed: Crashed?, torn: [Tail]) -> [PendingRecord] {
        var records = torn.map { tail in
            PendingRecord.own(
                .recovery,
                [
                    ("cut", .int(Int64(tail.bytes))), ("sha256", .text(Base64.encode(tail.hash.bytes))),
                    ("tail", .text(tail.file)),
                ]
            )
        }
        if let crashed {
            records.append(
                .own(
                    .recovery,
                    [
                        ("offset", .int(Int64(crashed.bytes))), ("segment", .text(crashed.path)),
                        ("table", .text(Base64.encode(crashed.tally.connectorDigest.bytes))),
                        ("totals", crashed.tally.totalsForRecord),
                        ("unsigned", .int(Int64(clamping: crashed.unsigned))),
                    ]
                )
            )
        }
        return records
    }

    /// Renames the tails whose record is durable.
    func markRecorded(_ tails: [Tail]) throws(FileFailure) {
        guard !tails.isEmpty else { return }
        for tail in tails { try files.rename(tail.file, to: tail.file.dropLast(5) + ".bin") }
        try files.syncFolder(Self.tornFolder)
    }
}
