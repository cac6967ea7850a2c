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
    var uptime = LogUptime()

    var next: UInt64 { frontier.size }
}

/// Time that the log itself proves to have passed: the sum of what `CLOCK_BOOTTIME` grew from record to record, within one
/// boot. Wall clocks may jump; this only grows, and never faster than time. Every `segment.open` and `segment.seal`
/// record says it (`up`, microseconds since genesis).
struct LogUptime: Sendable, Equatable {
    /// Microseconds.
    var total: UInt64 = 0
    private var boot = ""
    private var last: UInt64 = 0

    mutating func advance(boot: String, to microseconds: UInt64) {
        if boot == self.boot, microseconds > last { total &+= microseconds - last }
        if boot != self.boot || microseconds > last { (self.boot, last) = (boot, microseconds) }
    }

    func advanced(boot: String, to microseconds: UInt64) -> LogUptime {
        var uptime = self
        uptime.advance(boot: boot, to: microseconds)
        return uptime
    }

    /// Takes in a record of the log, in order.
    mutating func read(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm) {
        if form.operation == .segmentOpen || form.operation == .segmentSeal,
            let known = form.detailNumber("up", in: line)
        {
            total = known
            (boot, last) = (form.boot(in: line), form.mono)
        } else {
            advance(boot: form.boot(in: line), to: form.mono)
        }
    }
}
