import ArgumentParser
import CoffreClient
import CoffreWire

extension TokenCommand {
    struct Login: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Log in with the token of an OpenID Connect provider.",
            discussion: """
                The provider's token is read from a file, a descriptor or standard input, never from the arguments.

                EXAMPLES
                  coffre token login --of id-token --field client_token > ~/.coffre-token
                  coffre token login --role people --of /dev/fd/3 3< id-token
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "Path of the jwt auth method, without auth/.")
        var mount = "jwt"
        @Option(help: "Role to log in with. Default: the method's default_role.")
        var role: String?
        @Option(help: "File that holds the provider's token; - for standard input.", completion: .file())
        var of: String
        @Option(help: "Print one field alone, as it is.")
        var field: String?

        func perform(_ context: Context) async throws {
            let token = try Input.text(of, for: "--of").trimmed
            var members: [JSONValue.Member] = [.init("jwt", .string(token))]
            if let role { members.append(.init("role", .string(role))) }
            let answer = try await context.client(withToken: false)
                .write("auth/\(mount)/login", JSONValue.object(members).encoded())
            try context.console.show(answer, field: field)
        }
    }
}

extension String {
    /// Without white space and line ends around it.
    fileprivate var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace ?? false { text.removeFirst() }
        while text.last?.isWhitespace ?? false { text.removeLast() }
        return String(text)
    }
}
