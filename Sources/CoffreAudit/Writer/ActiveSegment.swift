internal import CoffreCrypto

/// The segment that the writer appends to, with what its seal will say. Advanced only by durable records.
struct ActiveSegment {
    enum Stage {
        /// Takes records.
        case open
        /// Its `segment.seal` record is durable; the `.seal` file is still to be written.
        case closed
    }

    let name: SegmentName
    let file: any LogFile
    let identity: FileIdentity
    /// Day of the folder it lies in.
    let day: Int64
    let start: Frontier
    let previous: Digest
    var stage = Stage.open
    /// Durable bytes.
    var bytes = 0
    var tally = SegmentTally()
    var raw = SHA256()
    var firstTime: RecordTime?
    var lastTime = RecordTime(microseconds: 0)

    init(name: SegmentName, file: any LogFile, day: Int64, start: Frontier, previous: Digest) throws(FileFailure) {
        self.name = name
        self.file = file
        self.day = day
        self.start = start
        self.previous = previous
        identity = try file.identity()
    }
}

/// Where the chain stands after the last durable record.
struct ChainState {
    var frontier = Frontier()
    /// Leaf hash of the last record; zero before the first.
    var leaf = Digest.zero
    var generation: UInt64?
    var lastTime = RecordTime(microseconds: 0)

    var next: UInt64 { frontier.size }
}
