/// Cards that nothing needs any more: no record that is kept mentions their subject.
extension CardKeeper {
    /// A mark is made once a day, and what is done under the name that it stands for may end the day after.
    private static let slack = 2 * SubjectTable.day
    /// Cards that go at one look.
    private static let mostCards = 1000

    /// Deletes the cards that were last used before the oldest record that is still needed. Blocks on the disk.
    ///
    /// Old is what pruning calls old, by both clocks: either the records are gone, or only a hold keeps them, and then
    /// those whom it concerns keep their cards.
    /// - Returns: the pseudonyms.
    @discardableResult
    func expire() throws(AuditError) -> [String] {
        let rule = SegmentPruner.Rule(
            months: months,
            now: RecordTime(microseconds: clock.realMicroseconds()),
            uptime: uptime,
            approver: nil
        )
        let old = try attempt { () throws(FileFailure) in
            var old: [CardFile] = []
            for card in try CardFile.list(files) where card.stage == .final {
                if let last = try files.modified(card.path), last + Self.slack < rule.before { old.append(card) }
            }
            return old
        }
        guard !old.isEmpty else { return [] }
        let (holds, history) = try housekeeping.holdsInForce()
        let (oldest, concerned) = try neededRecords(rule, holds, history, try epochs())
        let held = Set(
            holds.compactMap { hold in
                if case .subject(let sid) = hold.scope { sid } else { nil }
            }
        )
        var gone: [String] = []
        for card in old.sorted(by: { $0.sid < $1.sid }).prefix(Self.mostCards) {
            if shouldStop { break }
            guard !concerned.contains(card.sid), !held.contains(card.sid) else { continue }
            let isDone = try inTurn { () throws(AuditError) in
                // Somebody may have come back in the meantime.
                let last = try attempt { () throws(FileFailure) in
                    try files.identity(of: card.path) == nil ? nil : try files.modified(card.path)
                }
                guard let last, last + Self.slack < min(oldest, rule.before) else { return false }
                try eraseNow(card.sid, .expired, Self.ownDraft)
                return true
            }
            if isDone { gone.append(card.sid) }
        }
        return gone
    }

    /// - Returns: the time of the oldest record that stands by right of its age, and the pseudonyms in older ones that a
    ///   hold keeps.
    private func neededRecords(
        _ rule: SegmentPruner.Rule,
        _ holds: [HeldScope],
        _ history: HoldHistory,
        _ epochs: EpochChain
    ) throws(AuditError) -> (oldest: Int64, concerned: Set<String>) {
        var oldest = rule.before
        var concerned: Set<String> = []
        for segment in try SegmentName.list(files) where segment.data != .none {
            try attempt { () throws(FileFailure) in
                guard segment.isSealed else {
                    oldest = min(oldest, try firstTime(of: segment.name))
                    return
                }
                let path = segment.name.sealPath
                guard let note = try files.contents(of: path, limit: SegmentSeal.maximumBytes),
                    let seal = SegmentSeal(note: note, epochs: epochs)
                else { throw FileFailure(call: "read (not a seal of this log)", path: path, errno: 5) }
                let holding = holds.filter { $0.scope.mayConcern(seal) }
                let isNeeded = !history.needing(seal.first..<seal.last + 1).isEmpty
                if seal.lastTime.microseconds < rule.before, !holding.isEmpty || isNeeded {
                    let (sids, uptime) = try subjects(of: segment.name, seal, holding, withOrders: isNeeded)
                    if !sids.isEmpty || isNeeded, rule.uptime >= uptime, rule.uptime - uptime >= rule.age {
                        concerned.formUnion(sids)
                        return
                    }
                }
                oldest = min(oldest, seal.firstTime.microseconds, seal.lastTime.microseconds)
            }
        }
        return (oldest, concerned)
    }

    /// The hold that needs the card of `sid`: it names the subject, or keeps a record in which the pseudonym occurs.
    /// Reads the segments that such records may be in.
    func holdNeeding(_ sid: String) throws(AuditError) -> String? {
        let holds = try housekeeping.holdsInForce().holds
        if let hold = holds.first(where: { $0.scope == .subject(sid) }) { return hold.id }
        let others = holds.filter { if case .subject = $0.scope { false } else { true } }
        guard !others.isEmpty else { return nil }
        let lines = try LogLines(files: files)
        for (index, segment) in lines.segments.all.enumerated() {
            let seal = lines.segments.seal(index)
            let holding = others.filter { hold in seal.map { hold.scope.mayConcern($0) } ?? true }
            guard !holding.isEmpty else { continue }
            let first = segment.name.first
            var needing: String?
            let place = LogLines.Place(sequence: first, segment: first, offset: 0)
            _ = try lines.read(from: place, to: seal.map { $0.last + 1 } ?? .max) { line, form, _ in
                guard form.subjects(in: line).contains(where: { $0.utf8.elementsEqual(sid.utf8) }) else { return true }
                needing = holding.first { $0.scope.concerns(line, form) }?.id
                return needing == nil
            }
            if let needing { return needing }
        }
        return nil
    }

    private func firstTime(of name: SegmentName) throws(FileFailure) -> Int64 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: LineEncoder.maximumLineBytes + 1, alignment: 16)
        defer { buffer.deallocate() }
        let count = try files.openSegment(name).read(at: 0, into: buffer)
        var form = RecordForm()
        guard let end = buffer[..<count].firstIndex(of: 0x0a),
            form.read(UnsafeRawBufferPointer(rebasing: buffer[..<end])) == nil
        else { return .min }  // Nothing can be said of it yet.
        return form.time.microseconds
    }

    /// The pseudonyms in the records of a segment that are held, or that order and end holds, and the log's own count of time at its end.
    private func subjects(
        of name: SegmentName,
        _ seal: SegmentSeal,
        _ holds: [HeldScope],
        withOrders: Bool
    ) throws(FileFailure) -> (sids: Set<String>, uptime: UInt64) {
        var sids: Set<String> = []
        var uptime = LogUptime()
        var scanner = SegmentScanner(start: seal.start, previous: seal.previous, generation: nil)
        let defect = try scanner.scan(try files.openSegment(name)) { line, form in
            uptime.read(line, form)
            let isOrder = form.operation == .holdSet || form.operation == .holdClear
            if withOrders, isOrder { sids.formUnion(form.subjects(in: line)) }
            for hold in holds where hold.scope.concerns(line, form) {
                sids.formUnion(form.subjects(in: line))
                break
            }
            return nil
        }
        guard defect == nil, scanner.frontier == seal.end else {
            throw FileFailure(call: "read (not what was sealed)", path: name.path, errno: 5)
        }
        return (sids, uptime.total)
    }
}
