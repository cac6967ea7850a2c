import ArgumentParser
import CoffreClient
import CoffreWire
import Glibc

extension OperatorCommand {
    struct Drill: OfflineCommand {
        static let configuration = CommandConfiguration(
            commandName: "drill",
            abstract: "Rehearse a restore: put a snapshot into a scratch folder, start coffred on it, verify.",
            discussion: """
                The daemon of the drill has a socket and a log of its own, no broker, and stays in hold mode: it serves \
                nothing and revokes nothing. With the unseal key (seal type "credential") every row is verified; without \
                it, the archive, its hashes, the database's pages, and that coffred starts on it. Nothing is left behind.

                Exit status: 0 when all that could be verified is right, 1 otherwise.

                EXAMPLES
                  coffre operator drill
                  coffre operator drill --snapshot /media/backup/coffre.tar --format json
                  systemd-run --pty -p LoadCredentialEncrypted=coffre.unseal:/etc/coffre/coffre.unseal.cred \\
                      sh -c 'exec coffre operator drill --credentials-directory "$CREDENTIALS_DIRECTORY"'
                """
        )
        @OptionGroup var options: OfflineOptions
        @Option(help: "The snapshot. Default: the newest of --directory.", completion: .file())
        var snapshot: String?
        @Option(help: "Folder of snapshots made with backup --keep.", completion: .directory)
        var directory = "/var/lib/coffre-backup"
        @Option(help: "Folder that holds the unseal key as a file.", completion: .directory)
        var credentialsDirectory: String?
        @Option(help: "Name of the unseal key in it.")
        var credential = "coffre.unseal"
        @Option(
            help: "Where the scratch folder is made; it takes as much room as the database.",
            completion: .directory
        )
        var scratch: String?
        @Option(help: "The daemon. Default: beside this program, else in /usr/sbin.", completion: .file())
        var coffred: String?
        @Option(help: "Fail when the snapshot is older than this many hours.")
        var maximumAge: Int?

        func validate() throws {
            guard maximumAge.map({ $0 > 0 }) ?? true else { throw ValidationError("--maximum-age takes hours") }
            guard !credential.isEmpty, !credential.utf8.contains(0x2f), !credential.utf8.contains(0x22) else {
                throw ValidationError("--credential takes the name of a file")
            }
        }

        func perform(_ console: Console) async throws {
            guard let path = try snapshot ?? SnapshotFolder(directory).newest else {
                throw Failure("there is no snapshot in \(directory)", "aucun instantané dans \(directory)", .notFound)
            }
            let relay = try SignalRelay()
            var report = DrillReport(snapshot: path)
            do {
                try await rehearse(path, relay, &report)
                if let maximumAge, report.age ?? 0 > Int64(maximumAge) * 3600 {
                    throw Failure(
                        "the snapshot is older than \(maximumAge) hours",
                        "l'instantané a plus de \(maximumAge) heures"
                    )
                }
            } catch let failure as Failure {
                report.failure = failure.message
            } catch let error as ClientError {
                report.failure = Message(error.description, error.description)
            }
            console.show(report)
            if let stop = relay.stopRequest { throw ExitCode(128 + stop) }
            if report.failure != nil { throw ExitCode(ExitStatus.error.rawValue) }
        }

        private func rehearse(_ path: String, _ relay: SignalRelay, _ report: inout DrillReport) async throws {
            let program = try daemonPath()
            let folder = try ScratchFolder(in: scratch ?? environmentValue("TMPDIR") ?? "/var/tmp")
            let file = try SnapshotFile(path)
            let manifest = try file.install(in: folder.file("state"), force: false).manifest
            report.manifest = manifest
            report.age = Int64(time(nil)) - manifest.created
            try checkStop(relay)
            let hasKey = manifest.sealType == "credential" && credentialsDirectory != nil
            try folder.write("coffre.toml", configuration(folder, isOpening: hasKey))
            let daemon = try DrillDaemon(program, folder, credentials: hasKey ? credentialsDirectory : nil)
            defer { daemon.stop() }
            let status = try await daemon.started(relay)
            report.hasStarted = true
            guard status.isInitialized else {
                throw Failure("coffred finds no vault in it", "coffred n'y trouve aucun coffre")
            }
            guard hasKey else { return }
            guard !status.isSealed else {
                throw Failure(
                    "it does not open: \(daemon.lastWords ?? "the key does not fit")",
                    "il ne s'ouvre pas : \(daemon.lastWords ?? "la clé ne convient pas")"
                )
            }
            report.isOpened = true
            let data = try await daemon.verify(relay)
            guard data["hold"]?.bool == true, data["rows_verified"]?.bool == true else {
                throw Failure("its rows could not be verified", "ses lignes n'ont pas pu être vérifiées")
            }
            report.areRowsVerified = true
        }

        private func checkStop(_ relay: SignalRelay) throws {
            guard relay.stopRequest == nil else { throw Failure("interrupted", "interrompu", .interrupted) }
        }

        private func daemonPath() throws -> String {
            if let coffred { return coffred }
            var buffer = [CChar](repeating: 0, count: 4096)
            let count = max(readlink("/proc/self/exe", &buffer, buffer.count - 1), 0)
            let own = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let beside = own.utf8.lastIndex(of: 0x2f).map { String(own[..<$0]) + "/coffred" }
            for candidate in [beside, "/usr/sbin/coffred"].compactMap({ $0 }) where access(candidate, X_OK) == 0 {
                return candidate
            }
            throw Failure(
                "coffred is not found: name it with --coffred",
                "coffred introuvable : nommez-le par --coffred"
            )
        }

        private func configuration(_ folder: ScratchFolder, isOpening: Bool) -> String {
            """
            state_directory = "\(folder.file("state"))"
            [listener]
            socket = "\(folder.file("s"))"
            mode = "0600"
            group = ""
            [seal]
            type = "\(isOpening ? "credential" : "shamir")"
            credential = "\(credential)"
            operators = [\(geteuid())]
            [audit]
            directory = "\(folder.file("audit"))"
            origin = "drill/coffre"
            [broker]
            socket = "\(folder.file("none"))"
            user = "\(geteuid())"

            """
        }
    }
}

/// What a drill found.
private struct DrillReport {
    let snapshot: String
    var manifest: SnapshotManifest?
    /// Seconds.
    var age: Int64?
    var hasStarted = false
    var isOpened = false
    var areRowsVerified = false
    var failure: Message?

    init(snapshot: String) { self.snapshot = snapshot }
}

/// The coffred of a drill. Used by one task at a time.
private final class DrillDaemon {
    private let pid: pid_t
    private let folder: ScratchFolder
    private let client: CoffreClient
    private var hasEnded = false

    init(_ program: String, _ folder: ScratchFolder, credentials: String?) throws {
        self.folder = folder
        let output = open(folder.file("output"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        defer { close(output) }
        // Nothing of a service around this command is the daemon's.
        let removed: Set<String> = [
            "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
            "LISTEN_PID", "LISTEN_FDNAMES", "JOURNAL_STREAM", "INVOCATION_ID", "COFFRE_TOKEN_FILE",
            "COFFRE_SUBJECT_FILE", "BAO_TOKEN", "VAULT_TOKEN",
        ]
        pid = try ChildProcess.spawn(
            [program, "--config", folder.file("coffre.toml")],
            adding: credentials.map { [("CREDENTIALS_DIRECTORY", $0)] } ?? [],
            removing: removed,
            output: output
        )
        var configuration = CoffreClient.Configuration()
        configuration.socketPath = folder.file("s")
        configuration.timeout = .seconds(86_400)
        client = CoffreClient(configuration)
    }

    /// Why it stays sealed, else the last line that it wrote.
    var lastWords: String? {
        let text = (try? Input.text(folder.file("output"), for: "the drill")) ?? ""
        let lines = text.split(separator: "\n")
        return (lines.last { $0.contains("stays sealed") } ?? lines.last).map { escapedForTerminal(String($0)) }
    }

    /// Waits until it answers.
    func started(_ relay: SignalRelay) async throws -> CoffreClient.SealStatus {
        for _ in 0..<1200 {
            if relay.stopRequest != nil { throw Failure("interrupted", "interrompu", .interrupted) }
            if let status = try? await client.sealStatus() { return status }
            if isOver() { break }
            try await Task.sleep(for: .milliseconds(50))
        }
        let words = lastWords ?? "it said nothing"
        throw Failure("coffred does not start on it: \(words)", "coffred ne démarre pas dessus : \(words)")
    }

    /// Recomputes the keyed hash over all rows; given up when a signal asks to stop.
    func verify(_ relay: SignalRelay) async throws -> JSONValue {
        let client = client
        let asking = Task { try await client.send(.get, "sys/restore/status", query: [("verify", "true")]) }
        let watching = Task {
            while relay.stopRequest == nil { try await Task.sleep(for: .milliseconds(100)) }
            asking.cancel()
        }
        defer { watching.cancel() }
        return try await asking.value.data ?? .null
    }

    /// Ends it and waits for that.
    func stop() {
        // Only while it is a child of ours, so that its pid cannot mean another process.
        guard !isOver() else { return }
        kill(pid, SIGTERM)
        for _ in 0..<600 {
            if isOver() { return }
            usleep(50_000)
        }
        kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        hasEnded = true
    }

    private func isOver() -> Bool {
        var status: Int32 = 0
        if !hasEnded, waitpid(pid, &status, WNOHANG) != 0 { hasEnded = true }
        return hasEnded
    }
}

extension Console {
    fileprivate func show(_ report: DrillReport) {
        let manifest = report.manifest
        guard format == .table else {
            return json([
                "snapshot": .string(report.snapshot), "passed": .bool(report.failure == nil),
                "created": manifest.map { .integer($0.created) } ?? .null,
                "age_seconds": report.age.map { .integer($0) } ?? .null,
                "generation": manifest.map { .integer($0.generation) } ?? .null,
                "archive_verified": .bool(manifest != nil), "daemon_started": .bool(report.hasStarted),
                "opened": .bool(report.isOpened), "rows_verified": .bool(report.areRowsVerified),
                "failure": report.failure.map { .string($0.text(language)) } ?? .null,
            ])
        }
        let text = { (message: Message) in message.text(language) }
        var rows = [
            [
                text(Message("Result", "Résultat")),
                report.failure == nil
                    ? green(text(Message("passed", "réussi"))) : red(text(Message("FAILED", "ÉCHEC"))),
            ],
            [text(Message("Snapshot", "Instantané")), escapedForTerminal(report.snapshot)],
        ]
        if let manifest, let age = report.age {
            rows.append([text(Message("Taken", "Pris le")), UTCTime.text(manifest.created)])
            rows.append([text(Message("Age", "Âge")), text(Message("\(age / 3600) hours", "\(age / 3600) heures"))])
        }
        rows += [
            [text(Message("Archive and pages", "Archive et pages")), yes(manifest != nil)],
            [text(Message("coffred starts", "coffred démarre")), yes(report.hasStarted)],
            [text(Message("Opened", "Ouvert")), yes(report.isOpened)],
            [text(Message("Rows verified", "Lignes vérifiées")), yes(report.areRowsVerified)],
        ]
        table([text(Message("Key", "Clé")), text(Message("Value", "Valeur"))], rows)
        if let failure = report.failure { note(failure) }
        if report.failure == nil, !report.isOpened {
            line(
                Message(
                    "Not opened: without the unseal key (--credentials-directory) rows cannot be verified.",
                    "Non ouvert : sans la clé d'ouverture (--credentials-directory) les lignes restent invérifiées."
                )
            )
        }
    }
}
