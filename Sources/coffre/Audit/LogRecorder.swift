import ArgumentParser
import CoffreAudit
import CoffreClient
import CoffreWire
import Glibc

/// How a command that works on an audit folder finds the daemon whose log that may be.
struct RecordingOptions: ParsableArguments {
    @Option(
        help:
            "Socket of the daemon that records this. Default: $COFFRE_SOCKET, else $BAO_ADDR or $VAULT_ADDR if unix://.",
        completion: .file()
    )
    var socket: String?
    @Option(
        help:
            "File that holds a token, - for standard input. Default: as everywhere, else none: the daemon knows your uid.",
        completion: .file()
    )
    var tokenFile: String?
    @Option(help: "Seconds to wait for an answer.")
    var timeout: Int = 60
    @Flag(help: "Leave the daemon out: what is done is not recorded.")
    var unrecorded = false

    func validate() throws {
        guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout takes 1 to 86400 seconds") }
    }

    func context(_ console: Console) -> Context {
        Context(console: console, socket: socket, tokenFile: tokenFile, timeout: timeout)
    }
}

/// Whoever reads or verifies the log of a running daemon is recorded there; whoever has a copy of it is told that he is not.
struct LogRecorder {
    private let client: CoffreClient?
    /// Why nothing is recorded; nil when it is.
    let excuse: Message?

    var isRecording: Bool { client != nil }

    /// Asks the daemon whether `directory` is where its log lies.
    /// - Parameter mayBeRefused: go on when the daemon will not record it: whoever reads the folder verifies it anyway.
    /// - Throws: ``Failure``: it is not the folder of a log. ``Failure``, ``ClientError``: the daemon is there and refuses
    ///   to say.
    init(
        _ directory: String,
        _ options: RecordingOptions,
        _ context: Context,
        mayBeRefused: Bool = false
    ) async throws {
        try LogPlace(path: directory).require(directory)
        guard !options.unrecorded else {
            (client, excuse) = (nil, Message("not recorded (--unrecorded)", "non consigné (--unrecorded)"))
            return
        }
        let client = try context.client()
        do {
            let status = try await client.read("sys/audit/status").data
            let isIts = status?["directory"]?.string.map { Self.isSame($0, directory) } ?? false
            self.client = isIts ? client : nil
            excuse =
                isIts
                ? nil
                : Message("not recorded: not the log of the daemon", "non consigné : autre journal que celui du démon")
        } catch {
            switch error.code {
            case .unreachable:
                excuse = Message("not recorded: no daemon answers", "non consigné : aucun démon ne répond")
            case .sealed: excuse = Message("not recorded: the vault is sealed", "non consigné : le coffre est scellé")
            case .denied where mayBeRefused: excuse = Self.refused
            case .denied:
                let reason = escapedForTerminal(error.errors.joined(separator: "; "))
                throw Failure(
                    "the daemon would not record this (\(reason)); for a copy of a log: --unrecorded",
                    "le démon refuse de consigner cette opération (\(reason)) ; pour une copie : --unrecorded",
                    .denied
                )
            default: throw error
            }
            self.client = nil
        }
    }

    /// Why nothing is recorded, when the daemon would not.
    static let refused = Message(
        "not recorded: permission denied (update on sys/audit/verified)",
        "non consigné : accès refusé (update sur sys/audit/verified)"
    )

    private static func isSame(_ first: String, _ second: String) -> Bool {
        var (one, other) = (stat(), stat())
        return stat(first, &one) == 0 && stat(second, &other) == 0 && one.st_dev == other.st_dev
            && one.st_ino == other.st_ino
    }

    /// Returns once the record is durable.
    func record(_ kind: String, _ facts: [JSONValue.Member]) async throws {
        guard let client else { return }
        _ = try await client.write(
            "sys/audit/verified",
            JSONValue.object([.init("kind", .string(kind))] + facts).encoded()
        )
    }
}

extension Context {
    /// The folder that is meant when none is named: the daemon's own, as far as one answers and tells.
    func auditFolder(asksDaemon: Bool) async -> String {
        guard asksDaemon, let status = try? await client().read("sys/audit/status").data,
            let directory = status["directory"]?.string, directory.hasPrefix("/")
        else { return AuditCommand.defaultDirectory }
        return directory
    }

    /// Does it, and turns what goes wrong into a sentence and an exit status.
    func reporting(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            guard let failure = failure(for: error) else { throw error }
            console.note(failure.message)
            throw ExitCode(failure.status.rawValue)
        }
    }
}

extension Failure {
    /// What is wrong with a log: 5 when it contradicts itself, 1 when it cannot be read.
    /// - Parameter what: what was tried.
    init(_ error: AuditError, _ what: Message) {
        let reason = escapedForTerminal(error.message)
        var status = ExitStatus.error
        if case .damaged = error { status = .auditFailed }
        self.init("\(what.english): \(reason)", "\(what.french) : \(reason)", status)
    }
}
