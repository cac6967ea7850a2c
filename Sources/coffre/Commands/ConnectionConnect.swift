import ArgumentParser
import CoffreClient
import CoffreWire
import Glibc

extension ConnectionCommand {
    struct Connect: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a connection its OAuth consent: by a browser, another device, or without a person.",
            discussion: """
                Prints an address; whoever opens it and agrees is sent back to this machine. Where the browser is on another \
                one, --paste takes the address that it was sent to. Register http://127.0.0.1:PORT/callback at the provider.

                EXAMPLES
                  coffre connection connect google-drive --port 8400
                  coffre connection connect google-drive --port 8400 --paste
                  coffre connection connect forge --flow device
                  coffre connection connect reports --flow service
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Name or id of the connection.")
        var name: String
        @Option(help: "code, device, client, service or oauth1. Default: the usual one of the provider.")
        var flow: String?
        @Option(help: "A scope to ask for, in place of the least ones; may be repeated.")
        var scope: [String] = []
        @Option(help: "Port on 127.0.0.1 that the browser comes back to. Default: any.")
        var port: UInt16 = 0
        @Option(help: "An https address that is registered at the provider, with --paste.")
        var redirect: String?
        @Flag(help: "Read the address that the browser was sent to from standard input.")
        var paste = false

        func validate() throws {
            guard redirect == nil || paste else { throw ValidationError("--redirect needs --paste") }
        }

        func perform(_ context: Context) async throws {
            let console = context.console
            let client = try context.client()
            let listener = paste ? nil : try CallbackListener(port: port)
            let back = redirect ?? listener?.redirect ?? "http://127.0.0.1:\(port == 0 ? 8400 : port)/callback"
            var members: [JSONValue.Member] = [
                .init("connection", .string(name)), .init("redirect_uri", .string(back)),
            ]
            if let flow { members.append(.init("flow", .string(flow))) }
            if !scope.isEmpty { members.append(.init("scopes", .strings(scope))) }
            let begun = try await client.write("connectors/oauth/start", JSONValue.object(members).encoded())
            let data = begun.data ?? .object([])
            if data["oauth"] != nil { return show(begun, console) }
            guard let state = data["state"]?.string else { return show(begun, console) }
            if let code = data["user_code"]?.string {
                let page = escapedForTerminal(data["verification_uri"]?.string ?? "")
                let shown = escapedForTerminal(code)
                console.note(Message("Open \(page) and enter \(shown)", "Ouvrez \(page) et saisissez \(shown)"))
                return show(try await answer(of: state, data, client), console)
            }
            let address = escapedForTerminal(data["authorization_url"]?.string ?? "")
            console.note(Message("Open \(address)", "Ouvrez \(address)"))
            let parameters = try parameters(listener, console)
            show(
                try await client.write(
                    "connectors/oauth/complete",
                    JSONValue.object(parameters.map { JSONValue.Member($0.name, .string($0.value)) }).encoded()
                ),
                console
            )
        }

        private func parameters(
            _ listener: CallbackListener?,
            _ console: Console
        ) throws -> [(name: String, value: String)] {
            guard let listener else {
                let text = String(decoding: try Input.standardInput(for: "--paste"), as: UTF8.self)
                let line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
                guard
                    let found = CallbackListener.parameters(of: line.trimmingPrefix(while: \.isWhitespace).description)
                else {
                    throw Failure(
                        "standard input is not the address that the browser was sent to: it holds state and code",
                        "l'entrée standard n'est pas l'adresse de retour du navigateur : elle porte state et code",
                        .usage
                    )
                }
                return found
            }
            let page = Message(
                "<!doctype html><title>Coffre</title><p>You can close this page and go back to the terminal.",
                "<!doctype html><title>Coffre</title><p>Vous pouvez fermer cette page et revenir au terminal."
            )
            return try listener.wait(seconds: 600, page: page.text(console.language))
        }

        /// Asks until the person has answered on the other device.
        private func answer(of state: String, _ begun: JSONValue, _ client: CoffreClient) async throws -> Answer {
            var interval = max(1, min(60, begun["interval"]?.integer ?? 5))
            let body = JSONValue.object([.init("state", .string(state))]).encoded()
            while true {
                try await Task.sleep(for: .seconds(interval))
                let answer = try await client.write("connectors/oauth/device", body)
                guard answer.data?["pending"]?.bool == true else { return answer }
                if answer.data?["slow_down"]?.bool == true { interval += 5 }
            }
        }

        private func show(_ answer: Answer, _ console: Console) {
            console.warn(answer.warnings)
            let grant = answer.data?["oauth"] ?? answer.data ?? .object([])
            guard console.format == .table else { return console.json(grant) }
            let granted = (grant["scopes_granted"]?.array ?? []).compactMap(\.string).joined(separator: " ")
            let scopes = escapedForTerminal(granted)
            console.line(Message("\(name): connected (\(scopes))", "\(name) : connectée (\(scopes))"))
        }
    }
}
