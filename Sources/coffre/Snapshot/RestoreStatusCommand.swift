import ArgumentParser
import CoffreClient
import CoffreWire

extension OperatorCommand {
    struct RestoreStatus: CoffreCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore-status",
            abstract: "Tell what the audit log knows and a restored database does not.",
            discussion: """
                Works in hold mode, for root and the uids of [seal] operators.

                EXAMPLES
                  coffre operator restore-status
                  coffre operator restore-status --verify --format json
                """
        )
        @OptionGroup var options: CommonOptions
        @Flag(help: "Also recompute the keyed hash over all rows.")
        var verify = false

        func perform(_ context: Context) async throws {
            let answer = try await context.client(withToken: false).send(
                .get,
                "sys/restore/status",
                query: verify ? [("verify", "true")] : []
            )
            guard let data = answer.data else {
                throw Failure("the answer has no data", "la réponse est vide")
            }
            context.console.show(restore: data)
        }
    }

    struct RestoreConfirm: CoffreCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore-confirm",
            abstract: "End hold mode: revoke again what was revoked since, then serve.",
            discussion: """
                Policies, roles and secrets that were changed since the snapshot are as they were then: restore-status \
                counts them. Narrow rights first where that matters, or change them at once afterwards.

                EXAMPLES
                  coffre operator restore-status && coffre operator restore-confirm
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            _ = try await context.client(withToken: false).send(.put, "sys/restore/confirm")
            context.console.confirm(
                Message(
                    "Confirmed: what was revoked is revoked again, and the vault serves.",
                    "Confirmé : ce qui était révoqué l'est à nouveau, et le coffre répond."
                )
            )
        }
    }
}

extension Console {
    fileprivate func show(restore data: JSONValue) {
        guard format == .table else { return json(data) }
        let text = { (message: Message) in message.text(language) }
        guard data["hold"]?.bool == true else {
            return line(Message("The vault is not in hold mode.", "Le coffre n'est pas retenu."))
        }
        let number = { (name: String) in data[name].map(Console.cell) ?? "-" }
        var rows = [
            [text(Message("State", "État")), red(text(Message("hold mode", "retenu")))],
            [text(Message("Database generation", "Génération de la base")), number("database_generation")],
            [text(Message("Log generation", "Génération du journal")), number("log_generation")],
            [text(Message("Newer changes", "Changements plus récents")), number("newer_changes_total")],
            [text(Message("Revoked since", "Révoqués depuis")), number("revoked_since_total")],
            [text(Message("To be revoked again", "À révoquer à nouveau")), number("to_revoke_total")],
        ]
        if let created = data["snapshot"]?["created"]?.integer {
            rows.insert([text(Message("Snapshot of", "Instantané du")), UTCTime.text(created)], at: 1)
        }
        if data["rows_verified"]?.bool == true {
            rows.append([text(Message("Rows", "Lignes")), green(text(Message("verified", "vérifiées")))])
        }
        table([text(Message("Key", "Clé")), text(Message("Value", "Valeur"))], rows)
        if data["same_log"]?.bool == false {
            line(
                Message(
                    "! This is not the log that the snapshot belongs to, or its end is missing: what was revoked since cannot be told.",
                    "! Ce n'est pas le journal de cet instantané, ou sa fin manque : on ne peut savoir ce qui a été révoqué depuis."
                )
            )
        }
        let changes = data["newer_changes"]?.members ?? []
        if !changes.isEmpty {
            line("")
            let header = [Message("Operation", "Opération"), Message("Changes", "Changements")].map { text($0) }
            table(header, changes.map { [escapedForTerminal($0.key), Console.cell($0.value)] })
        }
        let revoked = data["to_revoke"]?.array ?? []
        if !revoked.isEmpty {
            line("")
            let header = [Message("Record", "Enregistrement"), Message("Time", "Heure"), Message("Revoked", "Révoqué")]
            table(
                header.map { text($0) },
                revoked.map { entry in
                    [
                        entry["record"].map(Console.cell) ?? "-", entry["time"].map(Console.cell) ?? "-",
                        (entry["accessor"] ?? entry["lease_id"]).map(Console.cell) ?? "-",
                    ]
                }
            )
        }
    }
}
