import ArgumentParser
import CoffreClient
import CoffreWire

struct StatusCommand: CoffreCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Tell whether the vault is initialised and sealed.",
        discussion: """
            Exit status: 0 unsealed, 2 sealed or not initialised, 69 unreachable.

            EXAMPLES
              coffre status
              coffre status --format json | jq .sealed
            """
    )
    @OptionGroup var options: CommonOptions

    func perform(_ context: Context) async throws {
        let status = try await context.client(withToken: false).sealStatus()
        context.console.show(status)
        if status.isSealed { throw ExitCode(ExitStatus.sealed.rawValue) }
    }
}

extension Console {
    func show(_ status: CoffreClient.SealStatus) {
        guard format == .table else { return json(status.json) }
        let sealed =
            status.isSealed
            ? red(Message("sealed", "scellé").text(language)) : green(Message("unsealed", "ouvert").text(language))
        let text = { (message: Message) in message.text(language) }
        var rows = [
            [text(Message("State", "État")), sealed],
            [text(Message("Initialised", "Initialisé")), yes(status.isInitialized)],
            [text(Message("Seal type", "Type de scellé")), escapedForTerminal(status.type)],
            [text(Message("Shares", "Parts")), "\(status.threshold)/\(status.shares)"],
        ]
        if status.isSealed && status.isInitialized {
            rows.append([text(Message("Shares given", "Parts reçues")), "\(status.progress)/\(status.threshold)"])
        }
        for (name, message) in [
            ("version", Message("Version", "Version")), ("storage_type", Message("Storage", "Stockage")),
            ("cluster_name", Message("Cluster", "Grappe")),
        ] {
            if let value = status.json[name]?.string { rows.append([text(message), escapedForTerminal(value)]) }
        }
        table([text(Message("Key", "Clé")), text(Message("Value", "Valeur"))], rows)
    }
}
