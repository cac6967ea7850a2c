import ArgumentParser
import CoffreClient
import CoffreWire

extension AuditCommand {
    struct Why: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Explain a decision: by which policy, version and rule, and what those of today would say.",
            discussion: """
                The record is read from the log and held to the one after it. The decision is then taken again under the \
                policies of its day, each version of which is kept as long as the log, and under those of today. \
                Needs read on sys/audit/why/NUMBER; asking is recorded.

                Exit status: 0, also when today's policies would decide otherwise; 4 when there is no such record; 5 when \
                the policies of that day do not lead to the recorded decision.

                EXAMPLES
                  coffre audit why 184467
                  coffre audit why 184467 --format json | jq .today.allowed
                """
        )
        @OptionGroup var options: CommonOptions
        @Argument(help: "Number of the record (_s).")
        var number: UInt64

        func perform(_ context: Context) async throws {
            let answer = try await context.client().read("sys/audit/why/\(number)")
            guard let data = answer.data else { throw Failure("nothing there", "rien à cet endroit", .notFound) }
            if context.console.format == .json {
                context.console.json(data)
            } else {
                context.console.explain(data)
            }
            if data["agrees"]?.bool == false { throw ExitCode(ExitStatus.auditFailed.rawValue) }
        }
    }
}

extension Console {
    fileprivate func explain(_ data: JSONValue) {
        guard let record = data["record"] else { return }
        let cells = RecordSummary.cells(record)
        let (number, time, operation, who, what) = (cells[0], cells[1], cells[2], cells[4], cells[5])
        let wasAllowed = ["granted", "error"].contains(record["out"]?["code"]?.string)
        line(
            Message(
                "Record \(number), \(time): \(who) asked for \(operation) on \(what).",
                "Enregistrement \(number), \(time) : \(who) a demandé \(operation) sur \(what)."
            )
        )
        outcome(record)
        if let purpose = record["why"]?["purpose"]?.string.map(escapedForTerminal) {
            line(Message("Purpose: \(purpose).", "Motif : \(purpose)."))
        }
        switch record["why"]?["sub"]?.string {
        case "required": line(Message("A person had to stand behind it.", "Une personne devait en répondre."))
        case "optional": line(Message("A person could stand behind it.", "Une personne pouvait en répondre."))
        default: break
        }
        guard let then = data["then"], then != .null, let today = data["today"] else {
            let reason = escapedForTerminal(data["reason"]?.string ?? "")
            return line(
                Message("It cannot be decided again: \(reason).", "La décision ne peut être rejouée : \(reason).")
            )
        }
        if data["agrees"]?.bool == true {
            line(Message("Under the policies of that day: the same.", "Avec les politiques de ce jour-là : de même."))
        } else {
            let reason = escapedForTerminal(then["reason"]?.string ?? "")
            line(
                Message(
                    red("The policies of that day do not lead to this decision") + " (\(reason)).",
                    red("Les politiques de ce jour-là ne mènent pas à cette décision") + " (\(reason))."
                )
            )
        }
        rule(then)
        let isAllowed = today["allowed"]?.bool == true
        let verdict = isAllowed ? Message("would grant it", "l'accorderait") : Message("would deny it", "le refuserait")
        let subject = today["policy"]?.string == nil ? Message("no rule", "aucune règle") : place(today)
        let difference = isAllowed == wasAllowed ? verdict : Message(yellow(verdict.english), yellow(verdict.french))
        if today["policy"]?.string == nil {
            line(Message("Today: no rule fits, so it would be denied.", "Aujourd'hui : aucune règle, donc refus."))
        } else {
            line(
                Message(
                    "Today: \(subject.english) \(difference.english).",
                    "Aujourd'hui : \(subject.french) \(difference.french)."
                )
            )
        }
        let missing = data["missing"]?.array?.compactMap(\.string).map(escapedForTerminal) ?? []
        if !missing.isEmpty {
            let list = missing.joined(separator: ", ")
            line(Message("No longer kept: \(list).", "Plus conservées : \(list)."))
        }
    }

    private func outcome(_ record: JSONValue) {
        let code = record["out"]?["code"]?.string ?? ""
        let by =
            record["why"]?["pol"]?.string == nil ? Message("no rule", "aucune règle") : place(record["why"] ?? .null)
        switch code {
        case "granted" where record["why"]?["pol"]?.string == nil:
            line(Message("Granted without asking a policy.", "Accordé sans consulter de politique."))
        case "denied" where record["why"]?["pol"]?.string == nil:
            line(Message("Denied: no rule allows it.", "Refusé : aucune règle ne l'autorise."))
        case "granted": line(Message("Granted by \(by.english).", "Accordé par \(by.french)."))
        case "denied": line(Message("Denied by \(by.english).", "Refusé par \(by.french)."))
        default:
            let error = record["out"]?["err"]?.string.map { " (\(escapedForTerminal($0)))" } ?? ""
            line(
                Message(
                    "Let pass by \(by.english), then: \(escapedForTerminal(code))\(error).",
                    "Admis par \(by.french), puis : \(escapedForTerminal(code))\(error)."
                )
            )
        }
    }

    /// A rule in words; records count rules from 0, people from 1.
    private func place(_ rule: JSONValue) -> Message {
        let policy = escapedForTerminal((rule["pol"] ?? rule["policy"])?.string ?? "")
        guard let version = (rule["polv"] ?? rule["version"])?.integer, let number = rule["rule"]?.integer else {
            return Message("policy \(policy)", "la politique \(policy)")
        }
        return Message(
            "rule \(number + 1) of \(policy), version \(version)",
            "la règle \(number + 1) de \(policy), version \(version)"
        )
    }

    private func rule(_ then: JSONValue) {
        for text in (then["text"]?.string ?? "").split(separator: "\n", omittingEmptySubsequences: false) {
            line("  " + escapedForTerminal(String(text)))
        }
    }
}
