internal import CoffreAPI
internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreHost
internal import CoffreVault
internal import Logging
internal import NIOCore
internal import ServiceLifecycle
internal import Synchronization

/// Serves until it is told to stop, then drains. It begins when signals are already caught, so that "ready" is true.
final class ServerService: Service {
    private let server: APIServer
    private let notifier: ServiceNotifier
    private let socket: Mutex<ListeningSocket?>
    private let whenReady: @Sendable () -> Void

    init(
        server: APIServer,
        notifier: ServiceNotifier,
        socket: consuming ListeningSocket,
        whenReady: @escaping @Sendable () -> Void
    ) {
        self.server = server
        self.notifier = notifier
        self.socket = Mutex(socket)
        self.whenReady = whenReady
    }

    /// - Throws: ``StartFailure``.
    func run() async throws {
        guard let socket = socket.withLock({ $0.take() }) else { return }
        do {
            try await server.start(on: socket)
        } catch {
            throw StartFailure(message: "the socket cannot be served: \(error)", status: 1)
        }
        whenReady()
        notifier.ready(status: "serving")
        try? await gracefulShutdown()
        notifier.stopping(status: "draining")
        await server.stop()
    }
}

/// Once a second on the vault's loop: expiry, retries, heartbeat every five minutes, a checkpoint in the journal every day, and the watchdog, so that a loop
/// which does not turn is noticed.
struct TimerService: Service {
    let vault: Vault
    let audit: AuditLog
    let loop: any EventLoop
    let notifier: ServiceNotifier
    let logger: Logger

    func run() async throws {
        let task = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            vault.assumeIsolated { $0.tick() }
        }
        let heartbeat = loop.scheduleRepeatedTask(initialDelay: .minutes(5), delay: .minutes(5)) { _ in
            let disk = audit.health.disk
            audit.heartbeat(
                [
                    ("disk", .text(disk.level.name)), ("free", .int(Int64(disk.freeBytes))),
                    ("synced", .flag(WallClock.isSynchronised())),
                ] + Self.witnessAge(audit)
            )
        }
        // The journal is a memory beside the log; journals that are forwarded are one outside the machine.
        let checkpoint = loop.scheduleRepeatedTask(initialDelay: .seconds(2), delay: .hours(24)) { [logger] _ in
            guard let note = audit.checkpoint else { return }
            logger.notice("audit checkpoint", metadata: ["note": "\(Base64.encode(note))"])
            audit.checkpointJournalled()
        }
        var watchdog: RepeatedTask?
        if let interval = notifier.watchdogInterval {
            let delay = TimeAmount.nanoseconds(interval.nanoseconds)
            watchdog = loop.scheduleRepeatedTask(initialDelay: .zero, delay: delay) { _ in notifier.watchdog() }
        }
        try? await gracefulShutdown()
        task.cancel()
        heartbeat.cancel()
        checkpoint.cancel()
        watchdog?.cancel()
    }
}

extension TimerService {
    /// Seconds since the last contact with a witness or a time-stamp authority, when there was any.
    private static func witnessAge(_ audit: AuditLog) -> [AuditWhat.Detail] {
        let contacts = audit.outside.filter { $0.kind == .witness || $0.kind == .tsa }.compactMap(\.lastContact)
        guard let last = contacts.max() else { return [] }
        return [("witness_age", .int(max(0, WallClock.seconds - last)))]
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
