/// Reads the durable records of a running log in their order, each once, from a place that can be kept.
package struct LogFollower: Sendable {
    /// Where the next record stands.
    package struct Cursor: Sendable, Equatable {
        /// Number of the next record.
        package let sequence: UInt64
        /// First record of its segment.
        package let segment: UInt64
        /// Bytes before it in that segment.
        package let offset: UInt64

        package init(sequence: UInt64, segment: UInt64, offset: UInt64) {
            self.sequence = sequence
            self.segment = segment
            self.offset = offset
        }
    }

    /// What one turn has read.
    package struct Turn: Sendable {
        /// Records that were shown.
        package var count: UInt64 = 0
        /// Records that are not there any more: pruned before they could be read.
        package var missing: UInt64 = 0
    }

    private let files: any LogFileSystem
    package private(set) var cursor: Cursor

    init(files: any LogFileSystem, cursor: Cursor) {
        self.files = files
        self.cursor = cursor
    }

    /// Shows what is durable, in order. Blocks on the disk.
    /// - Parameters:
    ///   - end: number of durable records.
    ///   - limit: records at most.
    ///   - visit: sees a line without its line feed, and its number.
    /// - Throws: ``AuditError`` `.damaged` when a line is not the record due there, `.system`. The place is then that of
    ///   the record that could not be read.
    package mutating func read(
        to end: UInt64,
        limit: UInt64,
        _ visit: (UnsafeRawBufferPointer, UInt64) -> Void
    ) throws(AuditError) -> Turn {
        var turn = Turn()
        guard cursor.sequence < end, limit > 0 else { return turn }
        let lines = LogLines(segments: try LogSegments(files))
        while cursor.sequence < end, turn.count < limit {
            var place = LogLines.Place(
                sequence: cursor.sequence,
                segment: cursor.segment,
                offset: Int(clamping: cursor.offset)
            )
            if lines.segments.index(first: place.segment) == nil {
                // A pruned segment, or the end of one that was the open one.
                guard let start = lines.start(of: place.sequence) else { return turn }
                if start.sequence > place.sequence { turn.missing += start.sequence - place.sequence }
                place = start
            }
            let wanted = max(cursor.sequence, place.sequence)
            let last = min(end, wanted + (limit - turn.count))
            var here = place
            var shown: UInt64 = 0
            do throws(AuditError) {
                here = try lines.read(from: place, to: last) { line, _, place in
                    if place.sequence >= wanted {
                        visit(line, place.sequence)
                        shown += 1
                        here = LogLines.Place(
                            sequence: place.sequence + 1,
                            segment: place.segment,
                            offset: place.offset + line.count + 1
                        )
                    }
                    return true
                }
            } catch {
                turn.count += shown
                if here.sequence >= wanted { move(to: here) }
                throw error
            }
            turn.count += shown
            // Never back: what was shown once is not shown again.
            if here.sequence >= wanted { move(to: here) }
            guard shown == 0 else { continue }
            guard let gap = lines.gap(at: here), gap.upperBound > wanted else { return turn }
            turn.missing += gap.upperBound - max(gap.lowerBound, wanted)
            cursor = Cursor(sequence: gap.upperBound, segment: gap.upperBound, offset: 0)
        }
        return turn
    }

    private mutating func move(to place: LogLines.Place) {
        cursor = Cursor(sequence: place.sequence, segment: place.segment, offset: UInt64(place.offset))
    }
}

extension AuditLog {
    /// Reads this log's records from a place on; from the first that there is when nil.
    package func follower(from cursor: LogFollower.Cursor?) -> LogFollower {
        LogFollower(files: logFiles, cursor: cursor ?? LogFollower.Cursor(sequence: 0, segment: 0, offset: 0))
    }

    /// The beginning of the segment of a record, as a place to read from.
    /// - Throws: ``AuditError`` `.system`.
    package func cursor(at sequence: UInt64) throws(AuditError) -> LogFollower.Cursor {
        let place = LogLines(segments: try LogSegments(logFiles)).start(of: sequence)
        return LogFollower.Cursor(
            sequence: place?.sequence ?? 0,
            segment: place?.segment ?? 0,
            offset: UInt64(place?.offset ?? 0)
        )
    }
}
