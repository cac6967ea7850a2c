import ArgumentParser
import CoffreClient
import CoffreWire

struct KVCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kv",
        abstract: "Static secrets with versions.",
        discussion: "A path starts with its mount, as in secret/app/db; a name without slash is below secret/.",
        subcommands: [
            Get.self, Put.self, Patch.self, List.self, Delete.self, Undelete.self, Destroy.self, Metadata.self,
            Report.self,
        ]
    )
}

/// Which secret a `kv` command is about.
struct KVPlace: ParsableArguments {
    @Option(help: "Mount of the engine, when the path does not start with it.")
    var mount: String?
    @Argument(help: "Path of the secret, as in secret/app/db.")
    var path: String

    static let defaultMount = "secret"

    func resolve(_ client: CoffreClient) async throws -> CoffreClient.KVPath {
        if let mount {
            let whole = "\(RequestPath.trimmed(mount))/\(RequestPath.trimmed(path))"
            return try await client.kvPath(whole)
        }
        let path = RequestPath.trimmed(path)
        let isName = !path.utf8.contains(0x2f) && path != Self.defaultMount
        return try await client.kvPath(isName ? "\(Self.defaultMount)/\(path)" : path)
    }

    /// A single name may be a mount or a folder of the default mount.
    func resolveFolder(_ client: CoffreClient) async throws -> CoffreClient.KVPath {
        if mount == nil && !RequestPath.trimmed(path).utf8.contains(0x2f) {
            do {
                return try await client.kvPath(path)
            } catch {
                // Not a mount: the name is looked for below the default one.
                guard error.code == .denied || error.code == .notFound else { throw error }
            }
        }
        return try await resolve(client)
    }
}

extension KVCommand {
    struct Get: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a secret.",
            discussion: """
                EXAMPLES
                  coffre kv get secret/app/db
                  coffre kv get --field password --version 3 secret/app/db
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var place: KVPlace
        @Option(help: "Print one field alone, as it is: no newline is added in a pipe.")
        var field: String?
        @Option(help: "Version; the newest by default.")
        var version: Int?

        func perform(_ context: Context) async throws {
            let client = try context.client()
            let answer = try await client.kvGet(try await place.resolve(client), version: version)
            let console = context.console
            console.warn(answer.warnings)
            if let field {
                guard let value = answer.data?["data"]?[field] else { throw console.noSuchField(field) }
                return console.raw(value)
            }
            guard console.format == .table else { return console.json(answer.json ?? .null) }
            if let metadata = answer.data?["metadata"] {
                console.showVersion(metadata)
                console.line("")
            }
            console.members(answer.data?["data"] ?? .null)
        }
    }

    struct Put: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a new version of a secret; all of its fields are replaced.",
            discussion: """
                Values come from a prompt or standard input (NAME=-), or from a file (NAME=@FILE), without change: use \
                printf rather than echo. One @FILE or - alone is a whole JSON object, stored byte for byte.

                EXAMPLES
                  coffre kv put secret/app/db user=@user.txt password=-
                  printf %s "$PASSWORD" | coffre kv put secret/app/db password=-
                  coffre kv put --cas 0 secret/app/db @db.json
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var place: KVPlace
        @OptionGroup var input: KVInput

        func perform(_ context: Context) async throws {
            let data = try input.data(context.console)
            let client = try context.client()
            let answer = try await client.kvPut(try await place.resolve(client), data: data, cas: input.cas)
            context.console.showWritten(answer)
        }
    }

    struct Patch: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change the named fields of a secret, as a new version.",
            discussion: """
                In a JSON object, null removes a field (RFC 7396).

                EXAMPLES
                  coffre kv patch secret/app/db password=-
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var place: KVPlace
        @OptionGroup var input: KVInput

        func perform(_ context: Context) async throws {
            let data = try input.data(context.console)
            let client = try context.client()
            let answer = try await client.kvPatch(try await place.resolve(client), data: data, cas: input.cas)
            context.console.showWritten(answer)
        }
    }

    struct List: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List secrets and folders.",
            discussion: """
                EXAMPLES
                  coffre kv list secret/app
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var place: KVPlace

        func perform(_ context: Context) async throws {
            let client = try context.client()
            let answer = try await client.kvList(try await place.resolveFolder(client))
            context.console.show(names: try CoffreClient.keys(of: answer))
        }
    }
}

/// The data of `kv put` and `kv patch`.
struct KVInput: ParsableArguments {
    @Option(help: "The version that must be the newest one now; 0 for a secret that must not exist.")
    var cas: Int?
    @Flag(help: "Accept NAME=TEXT, which every process of the machine can see.")
    var insecureArgv = false
    @Argument(help: "NAME=-, NAME=@FILE; or one @FILE or - with a whole JSON object.")
    var data: [String] = []

    func validate() throws {
        if data.isEmpty { throw ValidationError("give data: NAME=-, NAME=@FILE, @FILE or -") }
    }

    func data(_ console: Console) throws -> [UInt8] {
        try DataArguments.object(data, literals: insecureArgv ? .accepted : .refused, console: console)
    }
}

extension Console {
    func showVersion(_ metadata: JSONValue) {
        let version = metadata["version"].map(Self.cell) ?? "?"
        let time = metadata["created_time"].map(Self.cell) ?? "?"
        line(Message("Version \(version), written \(time)", "Version \(version), écrite le \(time)"))
    }

    func showWritten(_ answer: Answer) {
        warn(answer.warnings)
        guard format == .table else { return json(answer.json ?? .null) }
        if let metadata = answer.data { showVersion(metadata) }
    }
}
