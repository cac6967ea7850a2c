package import CoffreHost

/// Limits and times of the socket's server. The defaults suit one organisation's services on one machine.
package struct APIServerConfiguration: Sendable {
    package var limits = HTTPLimits()
    /// From the first byte of a request to the end of its head.
    package var headTimeout: Duration = .seconds(10)
    /// The longest silence while a body arrives, and the longest time a client may take to read an answer.
    package var progressTimeout: Duration = .seconds(30)
    /// From the end of the head to the end of the body.
    package var bodyTimeout: Duration = .seconds(300)
    /// The longest time for an answer that is sent from a file, however steadily it is read: it holds disk space.
    package var streamTimeout: Duration = .seconds(21_600)
    /// How long an idle connection stays.
    package var idleTimeout: Duration = .seconds(600)
    /// How long a refused client may go on sending before the connection is cut.
    package var lingerTimeout: Duration = .seconds(2)
    /// How long requests in flight may take after ``APIServer/stop()``.
    package var drainTimeout: Duration = .seconds(10)
    /// Open connections. One more closes the one that has waited longest, of the uid that holds most. Each takes two
    /// descriptors; the number is lowered when `RLIMIT_NOFILE` does not hold them.
    package var maximumConnections = 4096
    /// Bytes of large request bodies in memory, over all connections.
    package var bodyMemoryBytes = 268_435_456
    /// Bytes of pipelined requests that are read ahead while one is being answered.
    package var pipelineBytes = 65_536
    /// `pidOnly` behaves as kernels before 6.5.
    package var processSource: PeerCredentials.ProcessSource = .automatic

    /// Where processes are looked up; tests put their own in its place.
    package var procDirectory = "/proc"

    package init() {}
}
