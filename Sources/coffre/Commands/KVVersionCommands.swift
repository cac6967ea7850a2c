import ArgumentParser
import CoffreClient
import CoffreWire

/// `--versions 1,2`.
struct VersionList: ExpressibleByArgument, Sendable {
    let numbers: [Int]

    init?(argument: String) {
        let numbers = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard numbers.allSatisfy({ $0 > 0 }) else { return nil }
        self.numbers = numbers
    }
}

extension KVCommand {
    struct Delete: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete the newest version, or some versions; undelete brings them back.",
            discussion: """
                EXAMPLES
                  coffre kv delete secret/app/db
                  coffre kv delete --versions 1,2 secret/app/db
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var place: KVPlace
        @Option(help: "Versions, as in 1,2.")
        var versions: VersionList?

        func perform(_ context: Context) async throws {
            let client = try context.client()
            try await client.kvDelete(try await place.resolve(client), versions: versions?.numbers ?? [])
            context.console.confirm(Message("Deleted: \(place.path)", "Supprimé : \(place.path)"))
        }
    }

    struct Undelete: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Bring deleted versions back.",
            discussion: """
                EXAMPLES
                  coffre kv undelete --versions 2 secret/app/db
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var place: KVPlace
        @Option(help: "Versions, as in 1,2.")
        var versions: VersionList

        func perform(_ context: Context) async throws {
            let client = try context.client()
            try await client.kvUndelete(try await place.resolve(client), versions: versions.numbers)
            context.console.confirm(Message("Brought back: \(place.path)", "Rétabli : \(place.path)"))
        }
    }

    struct Destroy: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Erase versions for good, or the whole secret with --all.",
            discussion: """
                EXAMPLES
                  coffre kv destroy --versions 1,2 secret/app/db
                  coffre kv destroy --all secret/app/db
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var place: KVPlace
        @Option(help: "Versions, as in 1,2.")
        var versions: VersionList?
        @Flag(help: "All versions and the metadata.")
        var all = false

        func validate() throws {
            guard all != (versions != nil) else { throw ValidationError("give --versions or --all, one of them") }
        }

        func perform(_ context: Context) async throws {
            let client = try context.client()
            let secret = try await place.resolve(client)
            if let versions {
                try await client.kvDestroy(secret, versions: versions.numbers)
            } else {
                try await client.kvDeleteMetadata(secret)
            }
            context.console.confirm(Message("Erased: \(place.path)", "Effacé : \(place.path)"))
        }
    }

    struct Metadata: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the versions of a secret, without values.",
            discussion: """
                EXAMPLES
                  coffre kv metadata secret/app/db
                """
        )
        @OptionGroup var options: CommonOptions
        @OptionGroup var place: KVPlace

        func perform(_ context: Context) async throws {
            let client = try context.client()
            let answer = try await client.kvMetadata(try await place.resolve(client))
            let console = context.console
            guard console.format == .table, let data = answer.data else { return console.json(answer.json ?? .null) }
            console.members(.object((data.members ?? []).filter { $0.key != "versions" }))
            console.line("")
            let header = [
                Message("Version", "Version"), Message("Written", "Écrite le"), Message("Deleted", "Supprimée le"),
                Message("Erased", "Effacée"),
            ]
            let versions = (data["versions"]?.members ?? []).sorted { (Int($0.key) ?? 0) < (Int($1.key) ?? 0) }
            console.table(
                header.map { $0.text(console.language) },
                versions.map { version in
                    [
                        escapedForTerminal(version.key), Console.cell(version.value["created_time"] ?? .null),
                        Console.cell(version.value["deletion_time"] ?? .null),
                        console.yes(version.value["destroyed"]?.bool ?? false),
                    ]
                }
            )
        }
    }
}
