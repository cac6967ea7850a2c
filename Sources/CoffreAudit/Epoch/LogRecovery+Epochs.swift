internal import CoffreCrypto

extension LogRecovery {
    /// Goes on with a turn of the epoch that was interrupted after its record had become durable.
    /// - Parameters:
    ///   - segments: of the log, the last of them recovered and sealed.
    ///   - chain: where the log ends.
    func finishTurn(
        _ segments: [SegmentName.Listed],
        _ chain: ChainState,
        at time: BatchTime,
        boot: String
    ) throws(AuditError) {
        guard epochs.sealedSize <= chain.next else {
            let reason = "epoch \(epochs.number - 1) ended with record \(epochs.sealedSize - 1): the end was cut off"
            throw .damaged(segment: EpochSeal.folder, record: chain.next, reason: reason)
        }
        if let last = segments.last?.name, chain.next > last.first, let end = try endOfEpoch(in: last) {
            try finish(end, chain, at: time, boot: boot)
        } else if epochs.number != signer.epochs.number {
            let reason = "epoch \(epochs.number) has begun, and \(EpochKeys.path) is older; restore it from the backup"
            throw .keysUnavailable(reason: reason)
        }
    }

    private struct End {
        let line: [UInt8]
        let before: Frontier
        let isLast: Bool
    }

    private func finish(_ end: End, _ chain: ChainState, at time: BatchTime, boot: String) throws(AuditError) {
        var form = RecordForm()
        let rotation = end.line.withUnsafeBytes { form.read($0) == nil ? form.rotation(in: $0) : nil }
        // The turn was finished, and the last start ended before its first record.
        if rotation?.epoch == signer.epochs.number { return }
        guard let rotation, rotation.epoch == signer.epochs.number + 1, let pending = signer.epochs.pending,
            pending.publicKey == rotation.key.publicKey
        else {
            throw .keysUnavailable(
                reason: "the log introduces an epoch's key that is not in \(EpochKeys.path); restore it from the backup"
            )
        }
        let seal = signer.sealEpoch(
            line: end.line,
            before: end.before,
            next: end.isLast ? nil : chain.leaf,
            nextKey: pending
        )
        do throws(FileFailure) {
            try files.makeFolder(EpochSeal.folder, isPrivate: false)
            try files.replace(EpochSeal.path(signer.epochs.number), with: seal)
        } catch {
            throw error.asAuditError
        }
        try signer.epochs.turn(at: time, boot: boot)
    }

    /// The `key.rotate` record with which a sealed segment ends; nil when it does not end an epoch.
    private func endOfEpoch(in name: SegmentName) throws(AuditError) -> End? {
        do throws(FileFailure) {
            guard let note = try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes),
                let seal = SegmentSeal(note: note, epochs: epochs)
            else { throw FileFailure(call: "seal", path: name.sealPath, errno: 0) }
            let file = try files.openSegment(name)
            guard try endsWithRotation(file, bytes: Int(clamping: seal.bytes)) else { return nil }
            var (tree, found): (Frontier, End?) = (seal.start, nil)
            var scanner = SegmentScanner(start: seal.start, previous: seal.previous, generation: nil)
            let defect = try scanner.scan(file) { line, form in
                if form.operation == .keyRotate {
                    found = End(line: Array(line), before: tree, isLast: form.sequence == seal.last)
                }
                tree.append(leaf: TreeHash.leaf(line))
                return nil
            }
            if let defect { throw FileFailure(call: "line \(defect.reason)", path: name.path, errno: 0) }
            return found
        } catch {
            guard error.errno == 0 else { throw error.asAuditError }
            throw .damaged(segment: error.path, record: nil, reason: "it does not fit its seal (\(error.call))")
        }
    }

    /// Looks at the last two lines.
    private func endsWithRotation(_ file: any LogFile, bytes: Int) throws(FileFailure) -> Bool {
        let length = min(bytes, 2 * (LineEncoder.maximumLineBytes + 1))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(length, 1), alignment: 16)
        defer { buffer.deallocate() }
        var done = 0
        while done < length {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<length])
            let count = try file.read(at: bytes - length + done, into: room)
            if count == 0 { break }
            done += count
        }
        var form = RecordForm()
        return buffer[..<done].split(separator: 0x0a).suffix(2).contains { line in
            form.read(UnsafeRawBufferPointer(rebasing: line)) == nil && form.operation == .keyRotate
        }
    }
}
