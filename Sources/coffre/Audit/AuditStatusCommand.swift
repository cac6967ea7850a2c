import ArgumentParser
import CoffreAudit
import CoffreClient
import CoffreWire
import Glibc

extension AuditCommand {
    struct Status: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell the state of the log: size, signed head, witnesses, index, keys, disk.",
            discussion: """
                Asks the daemon; with a folder, or when no daemon answers, what the files say.

                EXAMPLES
                  coffre audit status
                  coffre audit status --format json | jq .witness
                  coffre audit status /media/copy/coffre-audit
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Audit folder, to read its files instead of asking the daemon.", completion: .directory)
        var directory: String?

        func perform(_ context: Context) async throws {
            if let directory {
                try LogPlace(path: directory).require(directory)
                return try showFolder(directory, context.console)
            }
            let client = try context.client()
            do {
                let status = try await client.read("sys/audit/status").data ?? .object([])
                context.console.show(status, fromDaemon: true)
            } catch {
                guard error.code == .unreachable || error.code == .sealed else { throw error }
                let reason = escapedForTerminal(error.detail)
                context.console.note(
                    Message(
                        "the daemon does not say (\(reason)): what the files in \(AuditCommand.defaultDirectory) say",
                        "le démon ne répond pas (\(reason)) : voici ce que disent les fichiers de \(AuditCommand.defaultDirectory)"
                    )
                )
                try showFolder(AuditCommand.defaultDirectory, context.console)
            }
        }

        private func showFolder(_ directory: String, _ console: Console) throws(Failure) {
            let facts: LogSummary
            do throws(AuditError) {
                facts = try LogSummary(directory: directory)
            } catch {
                throw Failure(error, Message("cannot read the log", "lecture du journal impossible"))
            }
            let age = facts.checkpointTime.map { max(0, Int64(time(nil)) - $0 / 1_000_000) }
            console.show(
                .object([
                    "origin": .string(facts.origin), "directory": .string(directory), "size": .integer(facts.size),
                    "first": .integer(facts.first), "segments": .integer(facts.segments),
                    "bytes": .integer(facts.bytes),
                    "witness": .null, "retention_months": facts.retentionMonths.map { .integer($0) } ?? .null,
                    "checkpoint_size": facts.checkpointSize.map { .integer($0) } ?? .null,
                    "checkpoint_age": age.map { .integer($0) } ?? .null, "epoch": .integer(facts.epoch),
                    "index_size": .integer(facts.indexSize),
                    "index_error": facts.indexError.map { .string($0) } ?? .null,
                ]),
                fromDaemon: false
            )
        }
    }
}

extension Console {
    /// What is shown in words of its own; the rest as it comes.
    private static let known = [
        "origin", "directory", "size", "first", "segments", "bytes", "writable", "last_record", "epoch",
        "checkpoint_size", "checkpoint_age", "checkpoint_error", "witness", "witnesses", "index_size", "index_error",
        "key_location",
        "retention_months",
    ]

    fileprivate func show(_ status: JSONValue, fromDaemon: Bool) {
        guard format == .table else {
            return json(.object((status.members ?? []) + [.init("from_daemon", .bool(fromDaemon))]))
        }
        var rows: [[String]] = []
        func add(_ name: Message, _ value: String?) {
            if let value { rows.append([name.text(language), value]) }
        }
        func cell(_ name: String) -> String? {
            status[name].flatMap { $0 == .null ? nil : Self.cell($0) }
        }
        let size = status["size"]?.integer ?? 0
        add(Message("Log", "Journal"), cell("origin"))
        add(Message("Folder", "Dossier"), cell("directory"))
        if let writable = status["writable"]?.bool {
            let state =
                writable
                ? Message("recording", "enregistre") : Message("REFUSES: see the journal", "REFUSE : voir le journal")
            add(Message("State", "État"), writable ? green(state.text(language)) : red(state.text(language)))
        }
        add(Message("Records", "Enregistrements"), cell("size"))
        if let first = status["first"]?.integer, first > 0 {
            add(Message("First kept", "Premier conservé"), String(first))
        }
        add(Message("Last record", "Dernier"), cell("last_record"))
        add(Message("Segments", "Segments"), cell("segments"))
        add(Message("Size", "Taille"), status["bytes"]?.integer.map(byteSize))
        add(Message("Epoch", "Époque"), cell("epoch"))
        add(Message("Checkpoint covers", "Couverts par le point de contrôle"), cell("checkpoint_size"))
        add(
            Message("Checkpoint age", "Âge du point de contrôle"),
            status["checkpoint_age"]?.integer.map { age(Int64(clamping: $0)) }
        )
        add(Message("Checkpoint failure", "Échec du point de contrôle"), cell("checkpoint_error").map(red))
        add(Message("External witness", "Témoin externe"), witness(status["witness"], fromDaemon: fromDaemon))
        let indexed = status["index_size"]?.integer ?? 0
        add(
            Message("Index", "Index"),
            Message(
                "\(indexed) records, the newest \(max(0, size - indexed)) are read from the log",
                "\(indexed) enregistrements, les \(max(0, size - indexed)) derniers sont lus dans le journal"
            ).text(language)
        )
        add(Message("Index failure", "Échec de l'index"), cell("index_error").map(yellow))
        add(Message("Keys", "Clés"), status["key_location"]?.string.map(keys))
        add(Message("Kept for months", "Conservation en mois"), cell("retention_months"))
        for entry in status["witnesses"]?.array ?? [] {
            let name = [entry["kind"], entry["name"]].compactMap { $0?.string }.filter { !$0.isEmpty }
            let last = entry["last_contact"].map(Self.cell) ?? "-"
            let trouble = entry["error"]?.string.map { ", " + red(escapedForTerminal($0)) } ?? ""
            rows.append([escapedForTerminal(name.joined(separator: " ")), last + trouble])
        }
        for member in status.members ?? [] where !Self.known.contains(member.key) { addRest(member, &rows) }
        table([Message("Key", "Clé").text(language), Message("Value", "Valeur").text(language)], rows)
    }

    /// Whether a member that has no words of its own counts bytes.
    private static func isBytes(_ name: String) -> Bool { name.hasSuffix("_bytes") || name == "growth_per_day" }

    private func addRest(_ member: JSONValue.Member, _ rows: inout [[String]], _ prefix: String = "") {
        let name = prefix + member.key
        if let inner = member.value.members {
            for member in inner { addRest(member, &rows, name + ".") }
        } else if let bytes = member.value.integer, Self.isBytes(member.key) {
            rows.append([escapedForTerminal(name), byteSize(bytes)])
        } else if member.value != .null {
            rows.append([escapedForTerminal(name), Self.cell(member.value)])
        }
    }

    private func keys(_ location: String) -> String {
        switch location {
        case "credential": Message("under a systemd credential", "sous un secret de systemd").text(language)
        case "file": yellow(Message("in a file of mode 0600", "dans un fichier de mode 0600").text(language))
        default: escapedForTerminal(location)
        }
    }

    /// A word, or an object with `level` and more.
    private func witness(_ value: JSONValue?, fromDaemon: Bool) -> String? {
        guard fromDaemon else { return nil }
        let level = value?["level"].map(Self.cell) ?? value?.string.map(escapedForTerminal) ?? "none"
        if ["none", "0"].contains(level) { return yellow(Message("none", "aucun").text(language)) }
        if level == "journal" {
            let words = Message("none (the journal of this machine alone)", "aucun (le journal de cette machine, seul)")
            return yellow(words.text(language))
        }
        let rest = (value?.members ?? []).filter { $0.key != "level" && $0.value != .null }
        let words = rest.map { "\(escapedForTerminal($0.key)) \(Self.cell($0.value))" }.joined(separator: ", ")
        let name = Message("level \(level)", "niveau \(level)").text(language)
        let isNumber = level.utf8.allSatisfy { (0x30...0x39).contains($0) }
        return (isNumber ? name : level) + (words.isEmpty ? "" : " (\(words))")
    }

    private func age(_ seconds: Int64) -> String {
        switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7200: "\(seconds / 60) min"
        case ..<172_800: "\(seconds / 3600) h"
        default: Message("\(seconds / 86_400) days", "\(seconds / 86_400) jours").text(language)
        }
    }
}
