internal import ArgumentParser
internal import CoffreConnectors
internal import CoffreHost
internal import Glibc
internal import Logging

@main
struct BrokerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coffre-broker",
        abstract: "Coffre's way to the network: does one job at a time for coffred, holds no key.",
        discussion: """
            EXAMPLES
              coffre-broker --config /etc/coffre/broker.toml

            EXIT STATUS
              0 stopped cleanly · 1 failed · 64 usage · 69 the socket is in use · 78 configuration

            See coffre-broker(8).
            """,
        version: "0.1.0"
    )

    @Option(name: .long, help: "The configuration file, coffre-broker(8).")
    var config: String

    /// Running jobs may take this long after SIGTERM.
    private static let grace = Duration.seconds(10)
    /// Seconds between two looks at answers that nobody collects.
    private static let purgeInterval = 3600

    func run() throws {
        let signals = Signals()
        do throws(HostError) {
            try ProcessHardening.apply()
        } catch {
            Self.leave(error.message, 1)
        }
        PostgresEnvironment.clear()
        let configuration = Self.readConfiguration(config)
        LoggingSystem.bootstrap { JournalLogHandler(label: $0, identifier: "coffre-broker") }
        let logger = Logger(label: "broker")
        let server = Self.makeServer(configuration, logger)
        let notifier = ServiceNotifier()
        guard WorkerThreads.start({ server.serve() }) else { Self.leave("cannot start a thread", 1) }
        server.purge()
        notifier.ready(status: "waiting for coffred")
        logger.info("listening", metadata: ["socket": "\(configuration.socket)"])
        Self.waitForTheEnd(signals, notifier, server)
        notifier.stopping()
        server.stop()
        let left = Self.drain(server, notifier)
        logger.info("stopped", metadata: ["unfinished": "\(left)"])
        server.removeSocket()
        Glibc.exit(0)
    }

    private static func readConfiguration(_ path: String) -> BrokerConfiguration {
        do throws(ConfigurationError) {
            let folder = getenv("STATE_DIRECTORY").map { String(cString: $0) }
            return try BrokerConfiguration(try ConfigurationFile.read(path), stateDirectory: folder)
        } catch {
            leave(error.description, 78)
        }
    }

    private static func makeServer(_ configuration: BrokerConfiguration, _ logger: Logger) -> BrokerServer {
        do {
            let inherited = try InheritedSocket.takeAll()
            guard inherited.count <= 1 else { leave("more than one inherited socket: give one ListenStream=", 1) }
            let parked = try ParkedAnswers(stateDirectory: configuration.stateDirectory)
            let listener = try inherited.first.map { try UnixFrameListener(adopting: $0) }
            return BrokerServer(
                listener: try listener ?? UnixFrameListener.bind(path: configuration.socket),
                coffredUID: configuration.coffredUID,
                parked: parked,
                jobs: BrokerJobs(policy: configuration.policy, trust: configuration.trust),
                logger: logger
            )
        } catch let error as UnixFrameError {
            leave("\(configuration.socket): \(error.message)", error.code == .unusable ? 69 : 1)
        } catch let error as ParkedAnswers.Failure {
            leave(error.message, 1)
        } catch {
            leave("\(error)", 1)
        }
    }

    private static func waitForTheEnd(_ signals: Signals, _ notifier: ServiceNotifier, _ server: BrokerServer) {
        let interval = min(notifier.watchdogInterval ?? .seconds(purgeInterval), .seconds(purgeInterval))
        var nextPurge = ContinuousClock.now + .seconds(purgeInterval)
        while !signals.wait(interval) {
            notifier.watchdog()
            if ContinuousClock.now >= nextPurge {
                server.purge()
                nextPurge = ContinuousClock.now + .seconds(purgeInterval)
            }
        }
    }

    /// - Returns: jobs that were not finished in time.
    private static func drain(_ server: BrokerServer, _ notifier: ServiceNotifier) -> Int {
        let deadline = ContinuousClock.now + grace
        while server.unfinishedCount > 0, ContinuousClock.now < deadline {
            notifier.watchdog()
            Pause.milliseconds(20)
        }
        return server.unfinishedCount
    }

    private static func leave(_ message: String, _ status: Int32) -> Never {
        let line = Array("coffre-broker: \(message)\n".utf8)
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
        Glibc.exit(status)
    }
}

/// SIGTERM and SIGINT, taken by the main thread when it asks for them. Make it before any thread starts.
struct Signals {
    private var set = sigset_t()

    init() {
        signal(SIGPIPE, SIG_IGN)
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Waits up to `limit`. - Returns: whether one of them came.
    func wait(_ limit: Duration) -> Bool {
        var set = set
        let (seconds, attoseconds) = limit.components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        return sigtimedwait(&set, nil, &time) > 0
    }
}

/// A short wait of the calling thread.
enum Pause {
    static func milliseconds(_ count: UInt32) { usleep(count * 1000) }
}
