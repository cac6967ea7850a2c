import ArgumentParser
import CoffreClient
import CoffreWire
import Glibc

extension PolicyCommand {
    struct Lint: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check the text of a policy, without the daemon.",
            discussion: """
                Tells what is wrong with a policy, and what is accepted but probably not meant: paths of KV version 1, rules
                that can never match, deny that narrower rules override, paths that stand twice.

                Exit status: 0 when the policy can be written, also with warnings; 1 when it cannot, or when --strict is
                given and there are warnings.

                EXAMPLES
                  coffre policy lint reports.hcl
                  coffre policy lint --strict --kv-mount secret --kv-mount team - < reports.hcl
                """
        )
        @Option(help: "table or json.")
        var format: OutputFormat = .table
        @Option(help: "en or fr. Default: from LC_ALL, LC_MESSAGES or LANG.")
        var lang: Language?
        @Option(help: "A KV version 2 mount; may be repeated.")
        var kvMount: [String] = ["secret/"]
        @Flag(help: "Warnings are errors.")
        var strict = false
        @Argument(help: "File with the policy, HCL or JSON; - for standard input.", completion: .file())
        var file: String

        mutating func run() async throws {
            let console = Console(format: format, language: lang ?? Language.preferred(environmentValue))
            do {
                let text = try Input.text(file, for: "policy lint")
                if try check(text, console) { return }
            } catch let failure as Failure {
                console.note(failure.message)
            }
            throw ExitCode(ExitStatus.error.rawValue)
        }

        /// - Returns: whether it passes.
        private func check(_ text: String, _ console: Console) throws(Failure) -> Bool {
            let mounts = kvMount.map { $0.utf8.last == 0x2f ? $0 : $0 + "/" }
            let policy: Policy
            do throws(PolicyError) {
                policy = try Policy(name: "", text: text, version: 1)
            } catch {
                let words = escapedForTerminal(error.message)
                if console.format == .json {
                    console.json(
                        .object(["valid": .bool(false), "error": .string(error.message), "warnings": .array([])])
                    )
                    return false
                }
                throw Failure("refused: \(words)", "refusée : \(words)")
            }
            let warnings = PolicyLinter(kvMounts: mounts, now: Int64(time(nil))).warnings(about: policy)
            switch console.format {
            case .json:
                let list = warnings.map { warning in
                    JSONValue.object([
                        "line": warning.line > 0 ? .integer(warning.line) : .null, "message": .string(warning.message),
                    ])
                }
                console.json(
                    .object([
                        "valid": .bool(true), "rules": .integer(policy.rules.count), "warnings": .array(list),
                    ])
                )
            case .table where warnings.isEmpty:
                let count = policy.rules.count
                console.line(Message("nothing to remark (rules: \(count))", "rien à signaler (règles : \(count))"))
            case .table:
                let header = [Message("Line", "Ligne"), Message("Warning", "Avertissement")]
                console.table(
                    header.map { $0.text(console.language) },
                    warnings.map { [$0.line > 0 ? "\($0.line)" : "-", escapedForTerminal($0.message)] }
                )
            }
            return !strict || warnings.isEmpty
        }
    }

    struct WhoCan: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell which policies grant a capability on a path, and who holds them.",
            discussion: """
                Needs sudo on sys/policies/who-can. A rule with conditions (parameters, wrapping, pages) grants within them.

                EXAMPLES
                  coffre policy who-can secret/data/payroll/db
                  coffre policy who-can database/creds/app --capability update --format json
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "create, read, update, patch, delete, list, scan or sudo.")
        var capability = "read"
        @Argument(help: "Path, without /v1/.")
        var path: String

        func perform(_ context: Context) async throws {
            let answer = try await context.client().whoCan(capability, on: path)
            context.console.showHolders(answer)
        }
    }

    struct Why: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell which rule decides about a capability on a path, and which others lose to it.",
            discussion: """
                Asks about the caller's own rights; about another token with --accessor, which needs sudo on
                sys/policies/why.

                EXAMPLES
                  coffre policy why secret/data/payroll/db
                  coffre policy why secret/metadata/payroll --capability list --accessor 7pQ2…
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "create, read, update, patch, delete, list, scan or sudo.")
        var capability = "read"
        @Option(help: "Accessor of another token.")
        var accessor: String?
        @Argument(help: "Path, without /v1/.")
        var path: String

        func perform(_ context: Context) async throws {
            let answer = try await context.client().why(capability, on: path, accessor: accessor)
            context.console.showReason(answer)
        }
    }
}

extension Console {
    /// Where a rule stands: `reports v3, lines 4-6`.
    private func place(_ rule: JSONValue) -> String {
        guard let policy = rule["policy"]?.string else { return "-" }
        let version = rule["version"]?.integer.map { " v\($0)" } ?? ""
        guard let first = rule["first_line"]?.integer, let last = rule["last_line"]?.integer else {
            let rule =
                rule["rule"]?.integer.map { Message(", rule \($0 + 1)", ", règle \($0 + 1)").text(language) } ?? ""
            return escapedForTerminal(policy) + version + rule
        }
        let lines =
            first == last
            ? Message(", line \(first)", ", ligne \(first)")
            : .init(
                ", lines \(first)-\(last)",
                ", lignes \(first)-\(last)"
            )
        return escapedForTerminal(policy) + version + lines.text(language)
    }

    private func texts(_ messages: [Message]) -> [String] { messages.map { $0.text(language) } }

    private func names(_ value: JSONValue?) -> String {
        escapedForTerminal((value?.array ?? []).compactMap(\.string).joined(separator: ", "))
    }

    fileprivate func showHolders(_ answer: Answer) {
        warn(answer.warnings)
        guard let data = answer.data else { return }
        guard format == .table else { return json(data) }
        let policies = data["policies"]?.array ?? []
        if policies.isEmpty {
            line(Message("No policy grants it; root can.", "Aucune politique ne l'accorde ; root le peut."))
        } else {
            table(
                texts([
                    Message("Policy", "Politique"), Message("Path of the rule", "Chemin de la règle"),
                    Message("Conditions", "Conditions"),
                ]),
                policies.map {
                    [
                        place($0), escapedForTerminal($0["rule_path"]?.string ?? ""),
                        yes($0["conditional"]?.bool ?? false),
                    ]
                }
            )
        }
        let holders =
            (data["tokens"]?.array ?? []).map { ($0, Message("token", "jeton"), $0["accessor"]?.string) }
            + (data["peer_roles"]?.array ?? []).map { ($0, Message("peer role", "rôle local"), $0["name"]?.string) }
        guard !holders.isEmpty else { return }
        line("")
        table(
            texts([
                Message("Kind", "Genre"), Message("Holder", "Détenteur"), Message("By", "Par"),
                Message("Policies", "Politiques"),
            ]),
            holders.map { holder, kind, name in
                [kind.text(language), escapedForTerminal(name ?? ""), place(holder), names(holder["policies"])]
            }
        )
        if data["truncated"]?.bool == true {
            note(
                Message(
                    "warning: not all tokens were looked at",
                    "avertissement : tous les jetons n'ont pas été examinés"
                )
            )
        }
    }

    fileprivate func showReason(_ answer: Answer) {
        warn(answer.warnings)
        guard let data = answer.data else { return }
        guard format == .table else { return json(data) }
        let isAllowed = data["allowed"]?.bool == true
        let word = isAllowed ? Message("allowed", "permis") : Message("refused", "refusé")
        let shown = isAllowed ? green(word.text(language)) : red(word.text(language))
        let asked = "\(data["capability"]?.string ?? "") \(data["path"]?.string ?? "")"
        line("\(escapedForTerminal(asked)): \(shown) (\(escapedForTerminal(data["reason"]?.string ?? "")))")
        if data["policy"]?.string != nil {
            line("")
            line(bold(place(data)))
            for text in (data["text"]?.string ?? "").split(separator: "\n", omittingEmptySubsequences: false) {
                line("  " + escapedForTerminal(String(text)))
            }
        }
        if let conditions = data["conditions"] { members(conditions) }
        let competing = data["competing"]?.array ?? []
        guard !competing.isEmpty else { return }
        line("")
        table(
            texts([
                Message("Other rule", "Autre règle"), Message("Path", "Chemin"),
                Message("Why it does not decide", "Pourquoi elle ne décide pas"),
            ]),
            competing.map { rule in
                [
                    place(rule), escapedForTerminal(rule["rule_path"]?.string ?? ""),
                    escapedForTerminal(rule["reason"]?.string ?? ""),
                ]
            }
        )
    }
}
