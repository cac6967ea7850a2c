internal import CoffreAPI
internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreHost
internal import CoffreStorage
internal import CoffreVault
internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import ServiceLifecycle
internal import UnixSignals

/// Puts the parts together and runs them until a signal: socket, vault, log, storage, timer, watchdog.
struct Daemon {
    private let configuration: Configuration
    private let logger: Logger
    private let notifier = ServiceNotifier()

    init(_ configuration: Configuration) {
        self.configuration = configuration
        let level = Logger.Level(rawValue: configuration.logLevel) ?? .info
        logger = Logger(label: "coffred") { label in
            JournalLogHandler(label: label, identifier: "coffred", level: level)
        }
    }

    /// Everything that is open.
    struct Parts {
        let loop: any EventLoop
        let store: SQLiteStore
        let audit: AuditLog
        let vault: Vault
        let broker: BrokerLink
        let watch: LogWatch?
    }

    /// Runs until SIGTERM or SIGINT. - Throws: ``StartFailure``.
    func run() async throws {
        Self.ignoreFileSizeSignal()
        if !GuardedArena.shared.isLocked {
            logger.warning("secrets could not be locked in memory: raise LimitMEMLOCK= (ulimit -l)")
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let parts = try open(group.next())
        do {
            try await parts.vault.unsealWithCredential()
        } catch {
            logger.error("the vault stays sealed", metadata: ["reason": "\(Self.reason(error))"])
        }
        try await serve(parts, socket: try listeningSocket())
        try await group.shutdownGracefully()
    }

    func serve(_ parts: Parts, socket: consuming ListeningSocket) async throws {
        let server = APIServer(performer: VaultDoor(parts.vault), eventLoop: parts.loop)
        let timer = TimerService(
            vault: parts.vault,
            audit: parts.audit,
            loop: parts.loop,
            notifier: notifier,
            logger: logger
        )
        let service = ServerService(server: server, notifier: notifier, socket: socket) { [logger, configuration] in
            logger.notice("ready", metadata: ["socket": "\(configuration.socket)"])
        }
        let services = ServiceGroup(
            services: [timer, service],
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        var failure: StartFailure?
        do {
            try await services.run()
        } catch let error as StartFailure {
            failure = error
        } catch {
            logger.error("stopping", metadata: ["error": "\(error)"])
        }
        await parts.vault.shutDown()
        parts.store.close()
        parts.broker.stop()
        parts.watch?.stop()
        parts.audit.close()
        if let failure { throw failure }
        logger.notice("stopped")
    }

    /// Opens storage and log and makes the vault, sealed.
    func open(_ loop: any EventLoop) throws -> Parts {
        let deliver: @Sendable (@escaping @Sendable () -> Void) -> Void = { run in loop.execute(run) }
        let store: SQLiteStore
        do {
            store = try SQLiteStore(folder: configuration.stateDirectory, deliver: deliver)
        } catch {
            throw StartFailure(message: error.message, status: error.code == .alreadyOpen ? 69 : 1)
        }
        let barrier = Barrier(store: store)
        let sealStore: SealStore
        do {
            sealStore = try SealStore(store: store, barrier: barrier)
        } catch {
            throw StartFailure(message: error.message, status: 1)
        }
        let broker = BrokerLink(path: configuration.brokerSocket, expectedUID: brokerUID(), loop: loop)
        let audit = try openLog(deliver, outside: try outside(broker))
        let watch = try watch(audit, broker)
        let vault = Vault(
            configuration: try vaultConfiguration(watch),
            executor: EventLoopSerialExecutor(loop),
            audit: audit,
            barrier: barrier,
            sealStore: sealStore,
            broker: broker,
            clock: VaultClock(
                now: { Timestamp(nanoseconds: Int64(clamping: WallClock.now())) },
                monotonic: { MonotonicTime.now() }
            ),
            journal: { [logger] isError, message, facts in
                let metadata = Logger.Metadata(uniqueKeysWithValues: facts.map { ($0.key, "\($0.value)") })
                logger.log(level: isError ? .error : .info, "\(message)", metadata: metadata)
            }
        )
        return Parts(loop: loop, store: store, audit: audit, vault: vault, broker: broker, watch: watch)
    }

    /// Follows the log from where the last run ended; nil when nobody is to.
    private func watch(_ audit: AuditLog, _ broker: BrokerLink) throws -> LogWatch? {
        let settings = configuration.anomaly
        guard settings.isEnabled else { return nil }
        let post = AlertPost(
            settings,
            postman: Postman(broker: broker),
            origin: audit.origin,
            mailCredential: try credential(settings.mail?.credential, of: "[anomaly] mail_credential"),
            webhookKey: try credential(settings.webhookCredential, of: "[anomaly] webhook_credential"),
            logger: logger
        )
        let watch = LogWatch(settings, audit: audit, folder: configuration.stateDirectory, post: post, logger: logger)
        try watch.start()
        return watch
    }

    /// A credential that the configuration names; nil when it names none.
    private func credential(_ name: String?, of setting: String) throws -> SharedSecret? {
        guard let name, !name.isEmpty else { return nil }
        guard let folder = CredentialsDirectory.fromEnvironment() else {
            throw StartFailure(
                message:
                    "\(setting) is set, but there is no $CREDENTIALS_DIRECTORY: add LoadCredential=\(name) to the unit",
                status: 78
            )
        }
        return try secret(name, folder)
    }

    private func openLog(
        _ deliver: @escaping AuditLogConfiguration.Delivery,
        outside: OutsideConfiguration
    ) throws -> AuditLog {
        let credentials = CredentialsDirectory.fromEnvironment()
        var keys = AuditLogConfiguration.KeyMaterial.file
        if let credentials, credentials.contains("coffre.audit") {
            keys = .credential(try secret("coffre.audit", credentials))
        }
        let group = (try? ServiceUsers.group(named: "coffre-audit")) == nil ? nil : "coffre-audit"
        do {
            var settings = AuditLogConfiguration(
                directory: configuration.auditDirectory,
                origin: configuration.origin.isEmpty ? Self.defaultOrigin : configuration.origin,
                softwareVersion: Release.version,
                keys: keys,
                segmentBytes: configuration.segmentBytes,
                retentionMonths: configuration.retentionMonths,
                group: geteuid() == 0 || isMember(of: group) ? group : nil,
                indexMilliseconds: 2000,
                housekeepingMilliseconds: 600_000,
                space: SpaceSettings(
                    preallocates: configuration.preallocates,
                    reserveBytes: configuration.reserveBytes
                ),
                onDisk: { [logger] in Self.tell($0, logger) },
                deliver: deliver
            )
            settings.outside = outside
            settings.continues = try Self.continuation(configuration.continues)
            return try AuditLog.open(settings)
        } catch let error as AuditError {
            if case .alreadyOpen = error { throw StartFailure(message: error.message, status: 69) }
            throw StartFailure(message: error.message, status: 1)
        }
    }

    private func isMember(of group: String?) -> Bool {
        guard let group, let id = try? ServiceUsers.group(named: group) else { return false }
        var groups = [gid_t](repeating: 0, count: 256)
        let count = getgroups(256, &groups)
        return getegid() == id || (count > 0 && groups[..<Int(count)].contains(id))
    }

    private static var defaultOrigin: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, 255)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/coffre"
    }

    private func vaultConfiguration(_ watch: LogWatch?) throws -> VaultConfiguration {
        var seal = VaultConfiguration.Seal.shamir
        if configuration.seal == .credential {
            guard let credentials = CredentialsDirectory.fromEnvironment() else {
                throw StartFailure(
                    message: "[seal] type is \"credential\", but there is no $CREDENTIALS_DIRECTORY: add "
                        + "LoadCredentialEncrypted=\(configuration.credential) to the unit",
                    status: 78
                )
            }
            let key = try secret(configuration.credential, credentials)
            guard key.count == 32 else {
                throw StartFailure(message: "the credential \(configuration.credential) must have 32 bytes", status: 78)
            }
            seal = .credential(key)
        }
        return VaultConfiguration(
            seal: seal,
            operators: Set(configuration.operators.compactMap { UInt32(exactly: $0) }),
            version: Release.version,
            anomalies: watch,
            groupID: { try? ServiceUsers.group(named: $0) }
        )
    }

    /// Who remembers the log outside of it, reached by the broker.
    private func outside(_ broker: BrokerLink) throws -> OutsideConfiguration {
        let settings = configuration.witness
        let credential = try credential(settings.mail?.credential, of: "[witness] mail_credential")
        let link = OutsideLink(broker: broker, settings: settings, mailCredential: credential)
        var outside = OutsideConfiguration(send: { link.send($0) }) { [logger] report in
            let facts = Logger.Metadata(uniqueKeysWithValues: report.facts.map { ($0.key, "\($0.value)") })
            logger.log(level: report.isAlarm ? .error : .notice, "\(report.message)", metadata: facts)
        }
        outside.witnesses = settings.cosigners.map(\.key)
        outside.hasStamps = settings.stampAuthority != nil
        outside.hasMail = settings.mail != nil
        outside.hasWebhook = settings.webhook != nil
        outside.intervalSeconds = UInt64(settings.intervalSeconds)
        outside.windowSeconds = UInt64(settings.windowHours) * 3600
        return outside
    }

    private func secret(_ name: String, _ credentials: CredentialsDirectory) throws -> SharedSecret {
        do {
            return try credentials.withCredential(named: name) { bytes in
                SharedSecret(SecretBytes.key(copying: bytes))
            }
        } catch {
            throw StartFailure(message: "\(error)", status: 78)
        }
    }

    /// The broker may be missing: then nobody is believed behind its socket.
    private func brokerUID() -> UInt32 {
        do {
            return try ServiceUsers.user(named: configuration.brokerUser).uid
        } catch {
            logger.warning(
                "the broker's user does not exist: no database logins",
                metadata: ["user": "\(configuration.brokerUser)"]
            )
            return .max
        }
    }

    private func listeningSocket() throws -> ListeningSocket {
        do {
            if let inherited = try InheritedSocket.takeAll().first {
                return try ListeningSocket(adopting: inherited.descriptor)
            }
            var group: UInt32?
            if !configuration.socketGroup.isEmpty { group = try ServiceUsers.group(named: configuration.socketGroup) }
            return try ListeningSocket(path: configuration.socket, mode: configuration.socketMode, group: group)
        } catch {
            throw StartFailure(message: error.message, status: error.code == .alreadyListening ? 69 : 1)
        }
    }

    static func reason(_ error: any Error) -> String { (error as? VaultError)?.message ?? "\(error)" }
}
