internal import CoffreConnectors
internal import CoffreCrypto
internal import CoffreHost
internal import CoffreWire
internal import Logging
internal import Synchronization

/// Listens for coffred, does its jobs, and keeps answers until they are acknowledged.
final class BrokerServer: Sendable {
    /// Jobs at the same time, a thread each.
    private static let threads = 64
    /// Of these, for one server: one that does not answer leaves threads for the others.
    private static let threadsOfTarget = 8
    /// Nobody waits any longer for a job that has not begun by then.
    private static let patience = Duration.seconds(30)
    /// Connections at the same time; coffred needs one.
    private static let connectionLimit = 16
    /// coffred reads at once; who does not is cut off.
    private static let sendTimeout = Duration.seconds(30)

    private struct State {
        var table: JobTable
        var connections: [UInt64: UnixFrameConnection] = [:]
        var lastConnection: UInt64 = 0
    }

    private let listener: UnixFrameListener
    private let coffredUID: UInt32
    private let parked: ParkedAnswers
    private let jobs: BrokerJobs
    private let logger: Logger
    private let workers = WorkerThreads(limit: threads, limitOfKind: threadsOfTarget)
    private let state: Mutex<State>

    init(
        listener: UnixFrameListener,
        coffredUID: UInt32,
        parked: ParkedAnswers,
        jobs: BrokerJobs,
        logger: Logger
    ) {
        self.listener = listener
        self.coffredUID = coffredUID
        self.parked = parked
        self.jobs = jobs
        self.logger = logger
        state = Mutex(State(table: JobTable(parked: parked.ids)))
    }

    /// Accepts connections until ``stop()``. Blocking.
    func serve() {
        while !state.withLock({ $0.table.isStopping }) {
            do throws(UnixFrameError) {
                guard
                    let connection = try listener.accept(
                        expectedUID: coffredUID,
                        deadline: ContinuousClock.now + .seconds(3600)
                    )
                else { continue }
                begin(connection)
            } catch {
                logger.warning("refused a connection", metadata: ["reason": "\(error.message)"])
                // Without descriptors accept(2) fails at once, again and again.
                if error.code != .wrongPeer { Pause.milliseconds(100) }
            }
        }
    }

    /// Begins no job from here on, and cuts the listener off. Running jobs go on.
    func stop() {
        state.withLock { $0.table.stop() }
        listener.shutDown()
    }

    /// Removes the socket's file; for the way out by exit(3), which runs no deinitialiser.
    func removeSocket() { listener.removeFile() }

    /// Jobs that run or wait for a thread.
    var unfinishedCount: Int { state.withLock { $0.table.unfinishedCount } }

    /// Forgets answers that nobody collected in time.
    func purge() {
        let gone = parked.purge()
        guard !gone.isEmpty else { return }
        state.withLock { $0.table.drop(gone) }
        logger.warning("removed answers that nobody collected", metadata: ["count": "\(gone.count)"])
    }

    // MARK: Connections

    private func begin(_ connection: UnixFrameConnection) {
        let number = state.withLock { state -> UInt64? in
            guard state.connections.count < Self.connectionLimit else { return nil }
            state.lastConnection += 1
            state.connections[state.lastConnection] = connection
            return state.lastConnection
        }
        guard let number else {
            logger.warning("refused a connection", metadata: ["reason": "too many connections"])
            return
        }
        if !WorkerThreads.start({ self.converse(connection, number) }) { end(number) }
    }

    private func end(_ number: UInt64) {
        state.withLock { state in
            state.connections[number] = nil
            state.table.disconnect(number)
        }
    }

    private func converse(_ connection: UnixFrameConnection, _ number: UInt64) {
        defer { end(number) }
        do throws(UnixFrameError) {
            while true {
                let goesOn = try connection.receive(deadline: ContinuousClock.now + .seconds(86_400)) { frame in
                    take(frame, connection, number)
                }
                guard goesOn == true else { return }
            }
        } catch {
            logger.warning("a connection ended", metadata: ["reason": "\(error.message)"])
        }
    }

    /// - Returns: false when the frame is none, which ends the connection.
    private func take(_ frame: UnsafeRawBufferPointer, _ connection: UnixFrameConnection, _ number: UInt64) -> Bool {
        do throws(BrokerWireError) {
            guard let header = try BrokerFrame.Header.parse(frame) else { return refuse("a frame is cut off") }
            let body = UnsafeRawBufferPointer(rebasing: frame[BrokerFrame.headerBytes...])
            switch header.kind {
            case .job: receive(header.jobID, body, connection, number)
            case .collect: collect(header.jobID, connection, number)
            case .ack:
                if state.withLock({ $0.table.acknowledge(header.jobID) }) { parked.remove(header.jobID) }
            case .answer, .gone: return refuse("a frame of this type is the broker's alone")
            }
            return true
        } catch {
            return refuse(error.message)
        }
    }

    private func refuse(_ reason: String) -> Bool {
        logger.warning("refused a frame", metadata: ["reason": "\(reason)"])
        return false
    }

    // MARK: Jobs

    private func receive(
        _ id: BrokerJobID,
        _ body: UnsafeRawBufferPointer,
        _ connection: UnixFrameConnection,
        _ number: UInt64
    ) {
        let target: String
        do throws(BrokerWireError) {
            // Judged before it is queued; decoded again by the thread that does it.
            target = try BrokerWork(decoding: body).target
        } catch {
            logger.warning("refused a job", metadata: ["job": "\(id)", "reason": "\(error.message)"])
            return send(.plain(.failed(BrokerFailure(.malformed))), id, connection)
        }
        switch state.withLock({ $0.table.receive(id, for: target, from: number) }) {
        case .run:
            let secret = SharedSecret(copying: body)
            let latest = ContinuousClock.now + Self.patience
            workers.submit(target) { self.perform(id, secret, latest: latest) }
        case .wait: break
        case .parked: sendParked(id, connection)
        case .finished: sendGone(id, connection)
        case .full:
            logger.warning("refused a job", metadata: ["job": "\(id)", "reason": "too many jobs wait"])
            send(.plain(.failed(BrokerFailure(.unavailable))), id, connection)
        }
    }

    private func perform(_ id: BrokerJobID, _ body: SharedSecret, latest: ContinuousClock.Instant) {
        let begin = ContinuousClock.now
        guard state.withLock({ $0.table.mayBegin(id) }) else { return }
        let (result, kind, publicKey) = body.withBytes { bytes -> (JobResult, String, [UInt8]?) in
            do throws(BrokerWireError) {
                let work = try BrokerWork(decoding: bytes)
                guard begin < latest else {
                    let late = BrokerFailure(.timeout, sqlState: BrokerFailure.neverConnected)
                    return (.open(.failed(late)), work.name, work.publicKey)
                }
                return (jobs.perform(work), work.name, work.publicKey)
            } catch {
                return (.open(.failed(BrokerFailure(.malformed))), "none", nil)
            }
        }
        let box = publicKey.flatMap { seal(result, for: id, to: $0) }
        let isParked = box.map { park($0, for: id) } ?? false
        logger.info(
            "did a job",
            metadata: [
                "job": "\(id)", "kind": "\(kind)", "outcome": "\(Self.outcome(result))",
                "milliseconds": "\((ContinuousClock.now - begin) / .milliseconds(1))",
            ]
        )
        let listeners = state.withLock { state in
            state.table.finish(id, isParked: isParked).compactMap { state.connections[$0] }
        }
        guard let parcel = Self.parcel(result, box) else { return }
        for connection in listeners { send(parcel, id, connection) }
    }

    /// What is sent at once. Secrets never leave in the open.
    private static func parcel(_ result: JobResult, _ box: [UInt8]?) -> BrokerAnswer.Parcel? {
        switch result {
        case .open(let answer): .plain(answer)
        case .secret: box.map { .sealed($0) }
        }
    }

    private func seal(_ result: JobResult, for id: BrokerJobID, to publicKey: [UInt8]) -> [UInt8]? {
        do throws(CryptoError) {
            switch result {
            case .open(let answer):
                return try Self.seal(SharedSecret(copying: answer.encode()), to: publicKey)
            case .secret(let encoded, _): return try Self.seal(encoded, to: publicKey)
            }
        } catch {
            logger.error("cannot seal an answer", metadata: ["job": "\(id)"])
            return nil
        }
    }

    private static func seal(_ encoded: SharedSecret, to publicKey: [UInt8]) throws(CryptoError) -> [UInt8] {
        try encoded.withBytes { bytes throws(CryptoError) in try SealedBox.seal(bytes, to: publicKey) }
    }

    /// - Returns: whether the answer survives a crash. One that does not is sent all the same.
    private func park(_ box: [UInt8], for id: BrokerJobID) -> Bool {
        do throws(ParkedAnswers.Failure) {
            try parked.park(box, for: id)
            return true
        } catch {
            logger.error("cannot keep an answer", metadata: ["job": "\(id)", "reason": "\(error.message)"])
            return false
        }
    }

    private func collect(_ id: BrokerJobID, _ connection: UnixFrameConnection, _ number: UInt64) {
        switch state.withLock({ $0.table.collect(id, for: number) }) {
        case .wait: break
        case .parked: sendParked(id, connection)
        case .gone: sendGone(id, connection)
        }
    }

    // MARK: Answers

    private func sendParked(_ id: BrokerJobID, _ connection: UnixFrameConnection) {
        guard let box = parked.box(of: id) else { return sendGone(id, connection) }
        send(.sealed(box), id, connection)
    }

    private func sendGone(_ id: BrokerJobID, _ connection: UnixFrameConnection) { send(.gone, id, [], connection) }

    private func send(_ parcel: BrokerAnswer.Parcel, _ id: BrokerJobID, _ connection: UnixFrameConnection) {
        send(.answer, id, parcel.encode(), connection)
    }

    private func send(
        _ kind: BrokerFrame.Kind,
        _ id: BrokerJobID,
        _ body: [UInt8],
        _ connection: UnixFrameConnection
    ) {
        do {
            let frame = try BrokerFrame.encode(kind, jobID: id, body: body)
            try frame.withUnsafeBytes { bytes in
                try connection.send(bytes, deadline: ContinuousClock.now + Self.sendTimeout)
            }
        } catch {
            // What is parked is collected later.
            logger.notice("could not send an answer", metadata: ["job": "\(id)"])
            connection.shutDown()
        }
    }

    private static func outcome(_ result: JobResult) -> String {
        switch result {
        case .open(let answer): outcome(answer)
        case .secret(_, let outcome): outcome
        }
    }

    private static func outcome(_ answer: BrokerAnswer) -> String {
        switch answer {
        case .done: "done"
        case .replied(let reply): "replied \(reply.status)"
        case .differs(let differences): "differs \(differences.total)"
        case .inspected: "inspected"
        case .audited(let roles): "audited \(roles.roles.count)"
        case .withdrawn(let found): "withdrawn \(found.logins.filter { $0.failure == nil }.count)"
        case .failed(let failure): failure.sqlState.map { "\(failure.code) \($0)" } ?? "\(failure.code)"
        }
    }
}
