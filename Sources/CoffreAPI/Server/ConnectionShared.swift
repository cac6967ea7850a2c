internal import CoffreHost
internal import CoffreVault

/// What the connections of one server share. Used on the event loop only.
final class ConnectionShared {
    let configuration: APIServerConfiguration
    let performer: any RequestPerformer
    let table: ConnectionTable
    let bodyMemory: BodyMemory
    let headNanoseconds: UInt64
    let progressNanoseconds: UInt64
    let bodyNanoseconds: UInt64
    let streamNanoseconds: UInt64
    let idleNanoseconds: UInt64
    let lingerNanoseconds: UInt64
    /// Requests that the vault has and has not answered.
    var inFlight = 0
    var isDraining = false
    /// Runs when the last connection has ended while draining.
    var whenDrained: (() -> Void)?

    init(configuration: APIServerConfiguration, performer: any RequestPerformer, maximumConnections: Int) {
        self.configuration = configuration
        self.performer = performer
        table = ConnectionTable(maximum: maximumConnections)
        bodyMemory = BodyMemory(limitBytes: configuration.bodyMemoryBytes)
        headNanoseconds = configuration.headTimeout.wholeNanoseconds
        progressNanoseconds = configuration.progressTimeout.wholeNanoseconds
        streamNanoseconds = configuration.streamTimeout.wholeNanoseconds
        bodyNanoseconds = configuration.bodyTimeout.wholeNanoseconds
        idleNanoseconds = configuration.idleTimeout.wholeNanoseconds
        lingerNanoseconds = configuration.lingerTimeout.wholeNanoseconds
    }

    func connectionEnded() {
        guard isDraining, table.connections.isEmpty, let whenDrained else { return }
        self.whenDrained = nil
        whenDrained()
    }

    /// Ends what has waited too long.
    func sweep(now: UInt64) {
        for connection in table.connections where connection.deadline <= now { connection.timeOut(now: now) }
    }
}

extension Duration {
    /// Nanoseconds; negative durations count as none.
    package var wholeNanoseconds: UInt64 {
        let parts = components
        guard parts.seconds >= 0, parts.attoseconds >= 0 else { return 0 }
        return UInt64(parts.seconds) * 1_000_000_000 + UInt64(parts.attoseconds / 1_000_000_000)
    }
}
