import ArgumentParser
import CoffreClient
import Glibc

/// Options of every command that talks to the daemon.
struct CommonOptions: ParsableArguments {
    @Option(
        help: "Socket of the daemon. Default: $COFFRE_SOCKET, else $BAO_ADDR or $VAULT_ADDR if unix://.",
        completion: .file()
    )
    var socket: String?

    @Option(
        help:
            "File that holds a token, - for standard input. Default: $COFFRE_TOKEN_FILE, else $BAO_TOKEN or $VAULT_TOKEN, else none: the daemon knows your uid.",
        completion: .file()
    )
    var tokenFile: String?

    @Option(
        help:
            "File that holds the ID token of the person for whom a service asks; - for standard input. Default: $COFFRE_SUBJECT_FILE, else none.",
        completion: .file()
    )
    var subjectFile: String?

    @Option(help: "table or json.")
    var format: OutputFormat = .table

    @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
    var lang: Language?

    @Option(help: "Seconds to wait for an answer.")
    var timeout: Int = 60

    func validate() throws {
        guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout takes 1 to 86400 seconds") }
    }
}

extension Language: ExpressibleByArgument {}

/// What a command works with.
struct Context: Sendable {
    static let defaultSocket = "/run/coffre/coffre.sock"

    let console: Console
    let socketPath: String
    private let options: (tokenFile: String?, subjectFile: String?, timeout: Int)

    init(_ options: CommonOptions) {
        let language = options.lang ?? Language.preferred(environmentValue)
        self.init(
            console: Console(format: options.format, language: language),
            socket: options.socket,
            tokenFile: options.tokenFile,
            subjectFile: options.subjectFile,
            timeout: options.timeout
        )
    }

    /// - Parameter timeout: seconds.
    init(console: Console, socket: String?, tokenFile: String?, subjectFile: String? = nil, timeout: Int) {
        self.console = console
        socketPath = socket ?? Self.socketFromEnvironment() ?? Self.defaultSocket
        options = (tokenFile, subjectFile, timeout)
    }

    private static func socketFromEnvironment() -> String? {
        if let path = environmentValue("COFFRE_SOCKET"), !path.isEmpty { return path }
        for name in ["BAO_ADDR", "VAULT_ADDR"] {
            guard let address = environmentValue(name), address.utf8.starts(with: "unix://".utf8) else { continue }
            return String(address.dropFirst("unix://".count))
        }
        return nil
    }

    /// - Parameter withToken: false for the routes that need none, so that no token file has to be read.
    func client(withToken: Bool = true) throws -> CoffreClient {
        var configuration = CoffreClient.Configuration()
        configuration.socketPath = socketPath
        configuration.timeout = .seconds(options.timeout)
        if withToken {
            configuration.token = try token()
            configuration.subject = try subject()
        }
        return CoffreClient(configuration)
    }

    private func token() throws -> ClientToken? {
        if let file = options.tokenFile ?? environmentValue("COFFRE_TOKEN_FILE"), !file.isEmpty {
            return try ClientToken(try Input.text(file, for: "--token-file"))
        }
        for name in Self.tokenVariables {
            if let text = environmentValue(name), !text.isEmpty { return try ClientToken(text) }
        }
        return nil
    }

    private func subject() throws -> ClientToken? {
        guard let file = options.subjectFile ?? environmentValue("COFFRE_SUBJECT_FILE"), !file.isEmpty else {
            return nil
        }
        return try ClientToken(subject: try Input.text(file, for: "--subject-file"))
    }

    static let tokenVariables = ["BAO_TOKEN", "VAULT_TOKEN"]

    private var tokenSource: String? {
        if options.tokenFile != nil { return "--token-file" }
        return (["COFFRE_TOKEN_FILE"] + Self.tokenVariables).first { !(environmentValue($0) ?? "").isEmpty }.map {
            "$\($0)"
        }
    }

    /// The sentence and status of an error.
    func failure(for error: any Error) -> Failure? {
        switch error {
        case let failure as Failure: failure
        case let error as ClientError: describe(error)
        default: nil
        }
    }

    private func describe(_ error: ClientError) -> Failure {
        // Other servers send lists over several lines.
        let texts = error.errors.map { $0.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
        let words = escapedForTerminal(texts.joined(separator: "; "))
        let tail = words.isEmpty ? "" : ": \(words)"
        let queue = words.isEmpty ? "" : " : \(words)"
        switch error.code {
        case .invalidInput:
            return Failure(error.detail, "entrée refusée : \(error.detail)", .usage)
        case .unreachable:
            return Failure(
                error.detail,
                "aucune réponse sur \(socketPath) : démon arrêté, ou vous n'êtes pas du groupe coffre-clients",
                .unavailable
            )
        case .timedOut:
            return Failure(
                "\(error.detail) on \(socketPath); what was asked may have happened",
                "pas de réponse à temps sur \(socketPath) ; la demande a pu aboutir",
                .unavailable
            )
        case .connectionLost:
            return Failure(
                "\(error.detail); what was asked may have happened",
                "connexion rompue avec \(socketPath) ; la demande a pu aboutir",
                .unavailable
            )
        case .cancelled: return Failure("interrupted", "interrompu", .interrupted)
        case .answerTooLarge, .malformedAnswer:
            return Failure("\(error.detail) (\(socketPath))", "réponse inutilisable de \(socketPath) : \(error.detail)")
        case .denied:
            let hint = tokenSource.map { " (token from \($0))" } ?? ""
            let note = tokenSource.map { " (jeton de \($0))" } ?? ""
            return Failure("not allowed\(hint)\(tail)", "accès refusé\(note)\(queue)", .denied)
        case .notFound: return Failure("nothing there\(tail)", "rien à cet endroit\(queue)", .notFound)
        case .sealed:
            return Failure(
                "the vault is sealed; open it with: coffre operator unseal",
                "le coffre est scellé ; ouvrez-le avec : coffre operator unseal",
                .sealed
            )
        case .badRequest, .rateLimited, .failed:
            let status = error.status.map(String.init) ?? ""
            return Failure("the daemon answered \(status)\(tail)", "réponse \(status) du démon\(queue)")
        }
    }
}

/// A command with the common options; errors become a sentence on standard error and an exit status.
protocol CoffreCommand: AsyncParsableCommand {
    var options: CommonOptions { get }
    func perform(_ context: Context) async throws
}

extension CoffreCommand {
    mutating func run() async throws {
        let context = Context(options)
        do {
            try await perform(context)
        } catch {
            guard let failure = context.failure(for: error) else { throw error }
            context.console.note(failure.message)
            throw ExitCode(failure.status.rawValue)
        }
    }
}
