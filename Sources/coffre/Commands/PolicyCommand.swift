import ArgumentParser
import CoffreClient
import CoffreWire

struct PolicyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy",
        abstract: "List, read, write, delete, check and question policies.",
        subcommands: [
            List.self, Read.self, Write.self, Delete.self, Lint.self, WhoCan.self, Why.self,
        ]
    )

    struct List: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the policies.",
            discussion: """
                EXAMPLES
                  coffre policy list
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            context.console.show(names: try await context.client().policies())
        }
    }

    struct Read: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the text of a policy.",
            discussion: """
                EXAMPLES
                  coffre policy read reports > reports.hcl
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name.")
        var name: String

        func perform(_ context: Context) async throws {
            let text = try await context.client().policy(name)
            switch context.console.format {
            case .json: context.console.json(.object(["name": .string(name), "policy": .string(text)]))
            case .table: context.console.write(Array(text.utf8) + (text.utf8.last == 0x0a ? [] : [0x0a]))
            }
        }
    }

    struct Write: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Create or replace a policy.",
            discussion: """
                EXAMPLES
                  coffre policy write reports reports.hcl
                  coffre policy write reports - < reports.hcl
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name.")
        var name: String
        @Argument(help: "File with the policy, HCL or JSON; - for standard input.", completion: .file())
        var file: String

        func perform(_ context: Context) async throws {
            let text = try Input.text(file, for: "policy write")
            context.console.warn(try await context.client().putPolicy(name, text: text))
            context.console.confirm(Message("Policy written: \(name)", "Politique écrite : \(name)"))
        }
    }

    struct Delete: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete a policy.",
            discussion: """
                EXAMPLES
                  coffre policy delete reports
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name.")
        var name: String

        func perform(_ context: Context) async throws {
            try await context.client().deletePolicy(name)
            context.console.confirm(Message("Policy deleted: \(name)", "Politique supprimée : \(name)"))
        }
    }
}
