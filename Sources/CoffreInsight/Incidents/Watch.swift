/// Detectors and book together: reads the log's records once, in order, and says what is to be recorded.
///
/// What it knows comes from the records alone. Saved at a record and restored there, it goes on as if nothing had been between;
/// so a restart neither skips a record nor tells of one twice.
package final class Watch {
    /// A finding that is to be recorded, under a name that it has again when the same record is read again.
    package struct Told: Sendable {
        /// `NUMBER.INDEX.KIND`: the record that made it certain, and which of its findings.
        package let name: String
        package let finding: Finding
    }

    /// Where reading goes on: number of the next record, first record of its segment, bytes before it there.
    package struct Place: Sendable, Equatable {
        package var sequence: UInt64 = 0
        package var segment: UInt64 = 0
        package var offset: UInt64 = 0

        package init(sequence: UInt64, segment: UInt64, offset: UInt64) {
            self.sequence = sequence
            self.segment = segment
            self.offset = offset
        }
    }

    package private(set) var book: IncidentBook
    package var place: Place
    /// Records before this one are learned from, and raise nothing.
    package private(set) var quietBefore: UInt64
    private let detector: Detector
    /// Bytes that saving takes, about.
    private var lastSize = 1 << 16

    /// - Parameters:
    ///   - quietBefore: records that were there before anybody watched.
    ///   - key0: half of a random key.
    package init(
        _ context: InsightContext,
        _ settings: IncidentBook.Settings,
        quietBefore: UInt64,
        key0: UInt64,
        key1: UInt64
    ) {
        detector = Detector(context: context, key0: key0, key1: key1)
        book = IncidentBook(settings)
        place = Place(sequence: 0, segment: 0, offset: 0)
        self.quietBefore = quietBefore
    }

    /// - Throws: ``ArchiveError``.
    package init(restoring bytes: [UInt8], _ context: InsightContext, _ settings: IncidentBook.Settings)
        throws(ArchiveError)
    {
        var archive = try Archive(reading: bytes)
        var state = InsightState(hash: SipHash(key0: 0, key1: 0))
        var book = IncidentBook(settings)
        var place = Place(sequence: 0, segment: 0, offset: 0)
        var quietBefore: UInt64 = 0
        try Self.state(&archive, &state, &book, &place, &quietBefore)
        guard archive.isAtEnd else { throw ArchiveError(message: "something follows the saved state") }
        (self.book, self.place, self.quietBefore) = (book, place, quietBefore)
        detector = Detector(state, context)
    }

    /// Everything, for ``init(restoring:_:_:)``.
    package func saved() -> [UInt8] {
        var archive = Archive(expecting: lastSize)
        // Writing does not fail.
        try? Self.state(&archive, &detector.state, &book, &place, &quietBefore)
        let bytes = archive.finished()
        lastSize = bytes.count + bytes.count / 8
        return bytes
    }

    private static func state(
        _ archive: inout Archive,
        _ state: inout InsightState,
        _ book: inout IncidentBook,
        _ place: inout Place,
        _ quietBefore: inout UInt64
    ) throws(ArchiveError) {
        try archive.value(&place.sequence)
        try archive.value(&place.segment)
        try archive.value(&place.offset)
        try archive.value(&quietBefore)
        try book.state(&archive)
        try archive.state(&state)
    }

    /// Takes one record of the log.
    /// - Returns: what is to be recorded, when the log does not hold it already.
    package func consume(_ line: UnsafeRawBufferPointer, _ sequence: UInt64) -> [Told] {
        guard let record = InsightRecord.parse(line) else {
            detector.passOver(sequence)
            return []
        }
        let findings = detector.consume(record)
        book.isQuiet = sequence < quietBefore
        book.turn(to: record.event.time)
        if record.isHandling || record.asksForPerson, let handling = HandlingRecord.parse(line) {
            note(handling, record.event.time)
        }
        guard sequence >= quietBefore else { return [] }
        return findings.enumerated().map { index, finding in
            Told(name: "\(sequence).\(index).\(finding.kind.rawValue)", finding: finding)
        }
    }

    private func note(_ handling: HandlingRecord, _ time: Int64) {
        switch handling {
        case .raised(let finding): book.add(finding)
        case .acknowledged(let incident, let by, let reason):
            book.acknowledge(incident, by: by, at: time, reason: reason)
        case .closed(let id, let by, let reason):
            if let incident = book.incident(id), incident.state != .closed {
                detector.forget(incident.kinds, of: incident.actor)
            }
            book.close(id, by: by, at: time, reason: reason)
        case .muted(let mute):
            book.mute(mute, at: time)
            book.tell(of: mute, at: time)
        case .unmuted(let id): book.unmute(id)
        case .approvalAsked(let record, let approval, let path, let by):
            book.tell(ofApproval: approval, record: record, path: path, by: by, at: time)
        case .consentNeeded(let record, let path, let reason):
            book.tell(ofConsent: path, record: record, reason: reason, at: time)
        }
    }

    /// Every channel has all alerts up to a number.
    package func delivered(through number: UInt64) { book.delivered(through: number) }

    /// Records between what was read and what comes next are gone: they were pruned.
    package func skipped() { detector.skipped() }

    /// The name of a finding that a record of the log tells of; nil for any other record.
    package static func name(in line: UnsafeRawBufferPointer) -> String? { InsightRecord.parse(line)?.finding }
}

extension Detector {
    /// What was pruned before it was read is not missing from the log.
    func skipped() { state.nextSequence = nil }

    /// A record that cannot be read is there all the same.
    func passOver(_ sequence: UInt64) { state.nextSequence = sequence &+ 1 }
}
