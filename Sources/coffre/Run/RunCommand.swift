import ArgumentParser
import CoffreClient
import CoffreWire
import Glibc

struct RunCommand: CoffreCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run one command with secrets in its environment or in files.",
        discussion: """
            Each path is read once. Leases are renewed while the command runs and revoked when it ends; files are in a \
            private folder in memory and removed. Signals are passed on. The secrets are in the environment of the \
            command alone. The command does not inherit $BAO_TOKEN, $VAULT_TOKEN, $COFFRE_TOKEN_FILE \
            and $COFFRE_SUBJECT_FILE.

            EXAMPLES
              coffre run --env PGUSER=database/creds/reports#username \\
                         --env PGPASSWORD=database/creds/reports#password -- psql -h db
              coffre run --file TLS_KEY=secret/web#key -- sh -c 'exec nginx -g "ssl_certificate_key $TLS_KEY;"'
            """
    )
    @OptionGroup var options: CommonOptions
    @Option(
        name: .customLong("env"),
        help: "NAME=PATH#FIELD: the value in this variable; may be repeated.",
        transform: reference
    )
    var variables: [SecretReference] = []
    @Option(
        name: .customLong("file"),
        help: "NAME=PATH#FIELD: the path of a file with the value in this variable.",
        transform: reference
    )
    var files: [SecretReference] = []
    @Flag(help: "Let the command inherit the variables that hold or name your token.")
    var keepToken = false
    @Argument(parsing: .captureForPassthrough, help: "The command and its arguments, after --.")
    var command: [String]

    func validate() throws {
        // Everything from the first word on is the command's; these two are not commands.
        if let first = command.first, ["-h", "--help"].contains(first) { throw CleanExit.helpRequest(Self.self) }
        var names = Set<String>()
        for reference in variables + files where !names.insert(reference.name).inserted {
            throw ValidationError("\(reference.name) is given twice")
        }
    }

    func perform(_ context: Context) async throws {
        let command = command.first == "--" ? Array(command.dropFirst()) : command
        guard !command.isEmpty else { throw Failure("give a command after --", "donnez une commande après --", .usage) }
        let client = try context.client()
        let relay = try SignalRelay()
        let keeper = LeaseKeeper(client: client, console: context.console)

        let prepared = await Preparation.make(client, variables: variables, files: files, relay: relay)
        var status: Int32
        var failure: (any Error)?
        do {
            if let error = prepared.error { throw error }
            let removed = keepToken ? [] : Set(Context.tokenVariables + ["COFFRE_TOKEN_FILE", "COFFRE_SUBJECT_FILE"])
            let pid = try relay.start {
                try ChildProcess.spawn(command, adding: prepared.environment, removing: removed)
            }
            if let pid {
                let renewing = Task { await keeper.keep(prepared.leases) }
                status = await relay.wait(for: pid)
                renewing.cancel()
                await renewing.value
            } else {
                // Asked to stop before the child was there.
                status = 128 + (relay.stopRequest ?? SIGTERM)
            }
        } catch {
            let stop = prepared.error == nil ? nil : relay.stopRequest
            failure = stop == nil ? error : nil
            status = stop.map { 128 + $0 } ?? ExitStatus.error.rawValue
        }
        if let files = prepared.files, !files.remove() {
            let place = files.directory
            context.console.note(
                Message(
                    "warning: \(place) still holds files that the command made",
                    "avertissement : \(place) contient encore des fichiers créés par la commande"
                )
            )
        }
        await keeper.revoke(prepared.leases)
        if let failure { throw failure }
        if status != 0 { throw ExitCode(status) }
    }
}

/// The argument as a reference, with the reason when it is none.
private func reference(_ argument: String) throws -> SecretReference {
    do {
        return try SecretReference(parsing: argument)
    } catch {
        throw ValidationError(error.detail)
    }
}

/// What the child gets; `leases` and `files` are filled in also when `error` says that something failed.
private struct Preparation: Sendable {
    var environment: [(String, String)] = []
    var leases: [Lease] = []
    var files: SecretFiles?
    var error: (any Error)?

    /// Reads secrets one after the other. A request to stop lets the call in flight finish, so that its lease is known
    /// and can be revoked; a second one gives up waiting.
    static func make(
        _ client: CoffreClient,
        variables: [SecretReference],
        files: [SecretReference],
        relay: SignalRelay
    ) async -> Preparation {
        let task = Task {
            var made = Preparation()
            var fetcher = SecretFetcher(client)
            do {
                for reference in variables where relay.stopRequest == nil {
                    made.environment.append((reference.name, try await fetcher.value(reference)))
                }
                for reference in files where relay.stopRequest == nil {
                    let value = try await fetcher.value(reference)
                    var folder = try made.files ?? SecretFiles()
                    made.files = folder
                    let path = try folder.add(reference.name, Array(value.utf8))
                    made.files = folder
                    made.environment.append((reference.name, path))
                }
            } catch {
                made.error = error
            }
            made.leases = fetcher.leases
            return made
        }
        relay.onSecondStop { task.cancel() }
        return await task.value
    }
}
