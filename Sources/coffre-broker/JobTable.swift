internal import CoffreWire

/// What the broker knows about jobs, and what is to be done next. No input or output.
struct JobTable {
    /// Most jobs that run or wait for a thread.
    static let limit = 320
    /// Most of them for one target: one that does not answer leaves room for the others.
    static let limitOfTarget = 80
    /// Most finished jobs that are remembered, so that a late repetition does not run again.
    static let memoryLimit = 4096

    /// What to do with a job that has arrived.
    enum Reception: Equatable {
        /// Never seen: run it.
        case run
        /// It runs, or waits for a thread: its answer goes to this connection too.
        case wait
        /// It is done and its answer parked: send that.
        case parked
        /// It is done and its answer acknowledged.
        case finished
        /// Too many jobs wait.
        case full
    }

    /// What to answer to a request for a job's answer.
    enum Collection: Equatable {
        case wait
        case parked
        case gone
    }

    private var listeners: [BrokerJobID: Set<UInt64>] = [:]
    private var parked: Set<BrokerJobID>
    private var finished: Set<BrokerJobID> = []
    private var finishedInOrder: [BrokerJobID] = []
    /// No job begins any more.
    private(set) var isStopping = false
    private var targets: [BrokerJobID: String] = [:]
    private var unfinishedOfTarget: [String: Int] = [:]

    /// - Parameter parked: jobs whose answers were found in the state folder.
    init(parked: Set<BrokerJobID>) { self.parked = parked }

    /// Jobs that run or wait for a thread.
    var unfinishedCount: Int { listeners.count }

    mutating func receive(_ id: BrokerJobID, for target: String, from connection: UInt64) -> Reception {
        if listeners[id]?.insert(connection) != nil { return .wait }
        if parked.contains(id) { return .parked }
        if finished.contains(id) { return .finished }
        guard !isStopping, listeners.count < Self.limit, unfinishedOfTarget[target] ?? 0 < Self.limitOfTarget else {
            return .full
        }
        listeners[id] = [connection]
        targets[id] = target
        unfinishedOfTarget[target, default: 0] += 1
        return .run
    }

    mutating func collect(_ id: BrokerJobID, for connection: UInt64) -> Collection {
        if listeners[id]?.insert(connection) != nil { return .wait }
        return parked.contains(id) ? .parked : .gone
    }

    /// The job is done. - Returns: the connections that wait for its answer.
    mutating func finish(_ id: BrokerJobID, isParked: Bool) -> Set<UInt64> {
        if isParked { parked.insert(id) } else { remember(id) }
        return forget(id) ?? []
    }

    private mutating func forget(_ id: BrokerJobID) -> Set<UInt64>? {
        if let target = targets.removeValue(forKey: id) {
            unfinishedOfTarget[target] = unfinishedOfTarget[target].flatMap { $0 > 1 ? $0 - 1 : nil }
        }
        return listeners.removeValue(forKey: id)
    }

    /// Whether a job that waited for a thread begins now. When the broker stops it does not: it is unknown then, and may
    /// be sent again.
    mutating func mayBegin(_ id: BrokerJobID) -> Bool {
        guard isStopping else { return true }
        _ = forget(id)
        return false
    }

    /// coffred has the answer. - Returns: whether there is a parked one to remove.
    mutating func acknowledge(_ id: BrokerJobID) -> Bool {
        guard parked.remove(id) != nil else { return false }
        remember(id)
        return true
    }

    /// Parked answers that were purged.
    mutating func drop(_ ids: [BrokerJobID]) {
        for id in ids where parked.remove(id) != nil { remember(id) }
    }

    /// The connection is gone: it waits for nothing any more.
    mutating func disconnect(_ connection: UInt64) {
        for id in listeners.keys { listeners[id]?.remove(connection) }
    }

    /// From here on no job begins.
    mutating func stop() { isStopping = true }

    private mutating func remember(_ id: BrokerJobID) {
        guard finished.insert(id).inserted else { return }
        finishedInOrder.append(id)
        // Dropped in halves: cheap on average, and the memory stays bounded.
        guard finishedInOrder.count > Self.memoryLimit else { return }
        finished.subtract(finishedInOrder.prefix(Self.memoryLimit / 2))
        finishedInOrder.removeFirst(Self.memoryLimit / 2)
    }
}
