import ArgumentParser
import CoffreClient
import CoffreWire

/// Incidents of the running daemon: see them, say who looks after them, say what was found out.
extension AnomalyCommand {
    struct List: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List incidents, the newest last.",
            discussion: """
                EXAMPLES
                  coffre anomaly list
                  coffre anomaly list --severity critical --format json
                  coffre anomaly list --held          # those that the day's budget of alerts held back
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "open, acknowledged, closed or all. Default: what is not closed.")
        var state: String?
        @Option(help: "medium, high or critical.")
        var severity: String?
        @Option(help: "Only incidents with a finding of this kind: mass_enumeration, stolen_token, …")
        var kind: String?
        @Option(help: "Only those of this identity.")
        var actor: String?
        @Flag(help: "Only those that nobody was told of, because the day's budget was used up.")
        var held = false
        @Option(help: "At most so many.")
        var limit = 100
        @Option(help: "Only those with a larger number.")
        var after: UInt64 = 0

        func perform(_ context: Context) async throws {
            var query = [(name: "limit", value: "\(limit)"), (name: "after", value: "\(after)")]
            for (name, value) in [("state", state), ("severity", severity), ("kind", kind), ("actor", actor)] {
                if let value { query.append((name, value)) }
            }
            if held { query.append(("held", "true")) }
            let found = try await context.client().read("sys/anomalies", query: query).data?["incidents"]
            let incidents = found?.array ?? []
            let console = context.console
            guard console.format == .table else { return console.json(.array(incidents)) }
            let titles = [
                Message("Incident", "Incident"), Message("Opened", "Ouvert"), Message("Severity", "Gravité"),
                Message("State", "État"), Message("Told", "Signalé"), Message("What", "Quoi"),
            ]
            let rows = incidents.map { incident in
                [
                    Console.cell(incident["id"] ?? .null), AnomalyText.short(incident["opened"]),
                    AnomalyText.severity(incident, console), AnomalyText.state(incident).text(console.language),
                    AnomalyText.told(incident).text(console.language), AnomalyText.reason(incident, console.language),
                ]
            }
            console.table(titles.map { $0.text(console.language) }, rows)
        }
    }

    struct Show: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show an incident with its findings.",
            discussion: """
                EXAMPLES
                  coffre anomaly show 48213
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Number of the incident.")
        var incident: UInt64

        func perform(_ context: Context) async throws {
            let answer = try await context.client().read("sys/anomalies/\(incident)")
            let found = answer.data ?? .object([])
            guard context.console.format == .table else { return context.console.json(found) }
            AnomalyText.show(found, context.console)
        }
    }

    struct Explain: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show an incident with the records of the log behind it.",
            discussion: """
                Each finding is a sentence with its numbers; below it stand the records that it was made of, as the log holds them.

                EXAMPLES
                  coffre anomaly explain 48213
                  coffre anomaly explain 48213 --format json | jq '.records[].what.path'
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Number of the incident.")
        var incident: UInt64

        /// Records that are looked up one by one.
        private static let most = 64

        func perform(_ context: Context) async throws {
            let client = try context.client()
            let found = try await client.read("sys/anomalies/\(incident)").data ?? .object([])
            let findings = found["findings"]?.array ?? []
            var numbers: [Int64] = []
            for finding in findings {
                for number in finding["records"]?.array ?? [] {
                    if let number = number.integer, !numbers.contains(number) { numbers.append(number) }
                }
            }
            numbers.sort()
            var records: [JSONValue] = []
            var missing: [Int64] = []
            for number in numbers.suffix(Self.most) {
                let query = [(name: "from", value: "\(number)"), (name: "limit", value: "1")]
                let page = try await client.read("sys/audit/log", query: query).data?["records"]?.array ?? []
                if let record = page.first, record["_s"]?.integer == number {
                    records.append(record)
                } else {
                    missing.append(number)
                }
            }
            let console = context.console
            guard console.format == .table else {
                let members = (found.members ?? []) + [.init("records", .array(records))]
                return console.json(.object(members))
            }
            AnomalyText.show(found, console)
            console.line("")
            let titles = [
                Message("Record", "Enregistrement"), Message("Time", "Heure"), Message("Operation", "Opération"),
                Message("Outcome", "Résultat"), Message("Who", "Qui"), Message("What", "Quoi"),
            ]
            console.table(titles.map { $0.text(console.language) }, records.map(RecordSummary.cells))
            if !missing.isEmpty {
                let list = missing.map(String.init).joined(separator: " ")
                console.note(
                    Message("not in the log any more: \(list)", "ne sont plus dans le journal : \(list)")
                )
            }
        }
    }

    struct Acknowledge: CoffreCommand {
        static let configuration = CommandConfiguration(
            commandName: "ack",
            abstract: "Say that you look after an incident; whoever was held because of it may go on.",
            discussion: """
                EXAMPLES
                  coffre anomaly ack 48213 --reason "asked Karim: the quarterly export"
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "What you know so far; stands in the log. At most 500 bytes.")
        var reason: String = ""
        @Argument(help: "Number of the incident.")
        var incident: UInt64

        func perform(_ context: Context) async throws {
            let body = JSONValue.object([.init("reason", .string(reason))]).encoded()
            _ = try await context.client().write("sys/anomalies/\(incident)/ack", body)
            context.console.confirm(
                Message("incident \(incident): acknowledged", "incident \(incident) : pris en charge")
            )
        }
    }

    struct Close: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what an incident was, and close it.",
            discussion: """
                EXAMPLES
                  coffre anomaly close 48213 --reason "stolen laptop; its tokens are revoked"
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "What was found out; stands in the log. At most 500 bytes.")
        var reason: String
        @Argument(help: "Number of the incident.")
        var incident: UInt64

        func perform(_ context: Context) async throws {
            let body = JSONValue.object([.init("reason", .string(reason))]).encoded()
            _ = try await context.client().write("sys/anomalies/\(incident)/close", body)
            context.console.confirm(Message("incident \(incident): closed", "incident \(incident) : clos"))
        }
    }

    struct Mute: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell nobody of an identity, or of a kind of finding, for a while.",
            discussion: """
                What is muted is found, recorded and listed all the same.

                EXAMPLES
                  coffre anomaly mute set --kind rate_spike --actor payroll.service --for 8h --reason "load test"
                  coffre anomaly mute list
                  coffre anomaly mute end 48301
                """,
            subcommands: [Set.self, List.self, End.self]
        )
    }

    struct Status: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show how far the watch has read, and what it told whom.",
            discussion: """
                EXAMPLES
                  coffre anomaly status
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            let status = try await context.client().read("sys/anomalies/status").data ?? .object([])
            let console = context.console
            guard console.format == .table else { return console.json(status) }
            console.members(.object((status.members ?? []).filter { $0.key != "channels" }))
            let titles = [
                Message("Channel", "Canal"), Message("Delivered", "Remis"), Message("Waiting", "En attente"),
                Message("Lost", "Perdus"), Message("Refused", "Refusés"), Message("Last contact", "Dernier contact"),
                Message("Error", "Erreur"),
            ]
            let rows = (status["channels"]?.array ?? []).map { channel in
                ["name", "delivered", "waiting", "lost", "refused", "last_contact", "error"].map {
                    Console.cell(channel[$0] ?? .null)
                }
            }
            console.line("")
            console.table(titles.map { $0.text(console.language) }, rows)
        }
    }
}

extension AnomalyCommand.Mute {
    struct Set: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Begin a mute.",
            discussion: """
                EXAMPLES
                  coffre anomaly mute set --actor backup.service --for 2h --reason "restore drill"
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "Of this identity, as incidents name it.")
        var actor: String?
        @Option(help: "Of this kind.")
        var kind: String?
        @Option(name: .customLong("for"), help: "How long: 30m, 8h, 7d.")
        var duration: String
        @Option(help: "Why; stands in the log. At most 500 bytes.")
        var reason: String

        func validate() throws {
            guard actor != nil || kind != nil else {
                throw ValidationError("a mute is of an --actor, a --kind or both")
            }
        }

        func perform(_ context: Context) async throws {
            var members: [JSONValue.Member] = [.init("reason", .string(reason)), .init("ttl", .string(duration))]
            if let actor { members.append(.init("actor", .string(actor))) }
            if let kind { members.append(.init("kind", .string(kind))) }
            let answer = try await context.client().write("sys/anomalies/mutes", JSONValue.object(members).encoded())
            let until = Console.cell(answer.data?["until"] ?? .null)
            guard context.console.format == .table else { return context.console.json(answer.data ?? .object([])) }
            context.console.confirm(Message("muted until \(until)", "muet jusqu’à \(until)"))
        }
    }

    struct List: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the mutes in force.",
            discussion: """
                EXAMPLES
                  coffre anomaly mute list --format json
                """
        )
        @OptionGroup var options: CommonOptions

        func perform(_ context: Context) async throws {
            let console = context.console
            let mutes = try await context.client().read("sys/anomalies/mutes").data?["mutes"]?.array ?? []
            guard console.format == .table else { return console.json(.array(mutes)) }
            let titles = [
                Message("Mute", "Silence"), Message("Identity", "Identité"), Message("Kind", "Type"),
                Message("Until", "Jusqu’à"), Message("By", "Par"), Message("Reason", "Motif"),
            ]
            let rows = mutes.map { mute in
                ["id", "actor", "kind", "until", "by", "reason"].map { Console.cell(mute[$0] ?? .null) }
            }
            console.table(titles.map { $0.text(console.language) }, rows)
        }
    }

    struct End: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a mute before its time.",
            discussion: """
                EXAMPLES
                  coffre anomaly mute end 48301
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Number of the mute.")
        var mute: UInt64

        func perform(_ context: Context) async throws {
            _ = try await context.client().delete("sys/anomalies/mutes/\(mute)")
            context.console.confirm(Message("mute \(mute): ended", "silence \(mute) : levé"))
        }
    }
}

/// Parts of incidents for people.
enum AnomalyText {
    /// To the second.
    static func short(_ time: JSONValue?) -> String {
        let text = Console.cell(time ?? .null)
        return text.utf8.count > 20 ? String(text.prefix(19)) + "Z" : text
    }

    static func reason(_ value: JSONValue, _ language: Language) -> String {
        Console.cell(value[language == .french ? "reason" : "reason_en"] ?? .null)
    }

    static func severity(_ value: JSONValue, _ console: Console) -> String {
        let severity = value["severity"]?.string ?? ""
        let name: Message =
            switch severity {
            case "critical": Message("critical", "critique")
            case "high": Message("high", "élevée")
            default: Message("medium", "moyenne")
            }
        return name.text(console.language)
    }

    static func state(_ value: JSONValue) -> Message {
        switch value["state"]?.string {
        case "acknowledged": Message("acknowledged", "pris en charge")
        case "closed": Message("closed", "clos")
        default: Message("open", "ouvert")
        }
    }

    static func told(_ value: JSONValue) -> Message {
        if value["alerted"]?.string != nil { return Message("yes", "oui") }
        if value["held"]?.bool == true { return Message("held back", "retenu") }
        if let mute = value["muted_by"]?.integer { return Message("muted (\(mute))", "muet (\(mute))") }
        return Message("no", "non")
    }

    static func show(_ incident: JSONValue, _ console: Console) {
        let language = console.language
        func line(_ name: Message, _ value: String) {
            console.line("\(name.text(language)): \(value)")
        }
        line(Message("Incident", "Incident "), Console.cell(incident["id"] ?? .null))
        line(Message("Identity", "Identité "), Console.cell(incident["actor"] ?? .null))
        line(Message("Severity", "Gravité "), severity(incident, console))
        line(Message("State", "État "), state(incident).text(language))
        line(Message("Told", "Signalé "), told(incident).text(language))
        if incident["handled_by"]?.string != nil {
            let (by, at) = (Console.cell(incident["handled_by"] ?? .null), short(incident["handled_at"]))
            let reason = Console.cell(incident["handled_reason"] ?? .null)
            line(Message("Handled", "Traité "), "\(at) \(by) \(reason)")
        }
        let count = incident["count"]?.integer ?? 0
        line(Message("Findings", "Signalements "), "\(count)")
        for finding in incident["findings"]?.array ?? [] {
            let kind = Console.cell(finding["kind"] ?? .null)
            let score = Console.cell(finding["score"] ?? .null)
            console.line("  \(short(finding["time"]))  \(kind) (\(score))")
            console.line("    \(reason(finding, language))")
        }
    }
}
