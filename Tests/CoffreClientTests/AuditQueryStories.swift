import CoffreAudit
import Dispatch
import Foundation
import Testing

/// `coffre audit query`, `status`, `why` and the record of them, as typed.
struct AuditQueryStories {
    /// A log whose hour the test sets.
    private final class HourClock: LogClock, @unchecked Sendable {  // Moved between appends only.
        var hour: Int64 = 0
        let bootID = String(repeating: "c", count: 32)

        func realMicroseconds() -> Int64 { 1_795_600_800_000_000 + hour * 3_600_000_000 }
        func bootMicroseconds() -> UInt64 { UInt64(hour) * 3_600_000_000 }
        func monotonicNanoseconds() -> UInt64 { bootMicroseconds() }
    }

    private final class Log {
        let path = FileManager.default.temporaryDirectory.path + "/coffre-query-\(UUID().uuidString)"

        init(_ paths: [String], month months: Int = 24) throws {
            let clock = HourClock()
            let log = try AuditLog.open(
                AuditLogConfiguration(
                    directory: path,
                    origin: "story.example/coffre",
                    softwareVersion: "1",
                    keys: .file,
                    checkpointMilliseconds: nil,
                    clock: clock
                )
            )
            for (number, path) in paths.enumerated() {
                clock.hour += 1
                let unit = number.isMultiple(of: 2) ? "payroll.service" : "cron.service"
                let isDurable = DispatchSemaphore(value: 0)
                log.append(
                    AuditDraft(
                        .secretRead,
                        outcome: number.isMultiple(of: 3) ? .denied : .granted,
                        correlation: "0123456789abcdef",
                        acceptedAt: 1,
                        who: AuditWho(
                            kind: .service,
                            sid: "s-" + String(repeating: "a", count: 22),
                            uid: 9,
                            unit: unit
                        ),
                        what: AuditWhat(connector: "c-\(number % 2)", path: path)
                    )
                ) { _ in isDurable.signal() }
                isDurable.wait()
            }
            log.close()
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    private func run(_ arguments: [String], socket: String = "/nonexistent", language: String = "C") throws
        -> CommandLine.Result
    {
        try CommandLine(socketPath: socket, environment: ["LC_ALL": language]).run(["audit"] + arguments)
    }

    @Test func recordsAreFoundByEveryCondition() throws {
        let log = try Log((0..<8).map { "secret/app/\($0)" })
        func numbers(_ conditions: [String]) throws -> [String] {
            let result = try run(["query", "--unrecorded", "--operation", "secret.read"] + conditions + [log.path])
            #expect(result.status == 0 && result.errors == "")
            return result.output.split(separator: "\n").map { String($0.split(separator: "/").last ?? "") }
        }
        #expect(try numbers([]) == ["0", "1", "2", "3", "4", "5", "6", "7"])
        #expect(try numbers(["--actor", "cron.service"]) == ["1", "3", "5", "7"])
        #expect(try numbers(["--connector", "c-1", "--outcome", "denied"]) == ["3"])
        #expect(try numbers(["--path", "secret/app/5"]) == ["5"])
        #expect(try numbers(["--path", "secret/app/*", "--actor", "nobody"]) == [])
        #expect(
            try numbers(["--since", "2026-11-25T15:00:00Z", "--until", "2026-11-25T17:00:00+00:00"]) == ["4", "5"]
        )
        #expect(try numbers(["--scan"]) == ["0", "1", "2", "3", "4", "5", "6", "7"])
        #expect(try run(["query", "--outcome", "perhaps", log.path]).status == 64)
        #expect(try run(["query", "--since", "2026-02-01", "--until", "2026-01-01", log.path]).status == 64)
        #expect(try run(["query", "--limit", "-1", log.path]).status == 64)
        let none = try run(["query", "--unrecorded", log.path + "/none"], language: "fr_FR.UTF-8")
        #expect(none.status == 64 && none.errors.hasPrefix("coffre: aucun journal d'audit dans "))
    }

    @Test func anAnswerComesInPages() throws {
        let log = try Log((0..<8).map { "secret/app/\($0)" })
        for scan in [[], ["--scan"]] {
            let first = try run(
                ["query", "--operation", "secret.read", "--limit", "3", "--unrecorded", log.path] + scan
            )
            let lines = first.output.split(separator: "\n")
            #expect(lines.count == 3)
            let next = try #require(
                first.errors.split(separator: " ").last?.trimmingCharacters(in: .whitespacesAndNewlines)
            )
            #expect(first.errors == "coffre: there are more: --from \(next)\n")
            let rest = try run(
                ["query", "--operation", "secret.read", "--limit", "0", "--from", next, "--unrecorded", log.path] + scan
            )
            #expect(rest.output.split(separator: "\n").count == 5 && rest.errors == "")
            #expect(!rest.output.contains(lines[2]))
            let french = try run(["query", "--limit", "1", "--lang", "fr", "--unrecorded", log.path] + scan)
            #expect(french.errors.contains("il y en a d'autres : --from 1"))
        }
    }

    /// Case 35 of the specification: what looks like a formula, a tag, an order to the terminal or another direction.
    @Test func hostileTextIsHarmlessInEveryFormat() throws {
        let hostile = [
            "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "<script>alert(1)</script>", "a,\"b\",c", "\u{1b}[2Jx",
            "سر\u{202e}txt", "two\nlines", "\tx", "\r=1",
        ]
        let log = try Log(hostile)
        let csv = try run(["query", "--operation", "secret.read", "--format", "csv", "--unrecorded", log.path]).output
        var rows = csv.split(separator: "\r\n", omittingEmptySubsequences: false)
        #expect(rows.removeFirst() == "number,time,operation,outcome,who,what")
        #expect(rows.removeLast() == "")
        #expect(rows.count == hostile.count)
        let cells = rows.map { row in String(row.split(separator: ",", maxSplits: 5)[5]) }
        #expect(
            cells.prefix(6) == [
                "'=cmd|' /C calc'!A0", "'+1+1", "'-2+3", "'@SUM(A1)", "<script>alert(1)</script>",
                "\"a,\"\"b\"\",c\"",
            ]
        )
        for scalar in csv.unicodeScalars where scalar.value < 0x20 || (0x202a...0x202e).contains(scalar.value) {
            #expect(scalar == "\r" || scalar == "\n", "U+\(String(scalar.value, radix: 16))")
        }
        #expect(cells.allSatisfy { !["=", "+", "-", "@", "\t"].contains($0.first.map(String.init) ?? "") })
        let table = try run(["query", "--operation", "secret.read", "--unrecorded", log.path]).output
        #expect(table.split(separator: "\n").count == hostile.count)
        #expect(!table.unicodeScalars.contains { $0.value == 0x1b || $0.value == 0x202e || $0.value == 0x0d })
        let json = try run(["query", "--operation", "secret.read", "--format", "json", "--unrecorded", log.path]).output
        let lines = json.split(separator: "\n")
        #expect(lines.count == hostile.count && !json.unicodeScalars.contains { $0.value == 0x1b })
        #expect(try lines.allSatisfy { try JSONSerialization.jsonObject(with: Data($0.utf8)) is [String: Any] })
        let french = try run(["query", "--format", "csv", "--lang", "fr", "--limit", "0", "--unrecorded", log.path])
            .output
        #expect(french.hasPrefix("number,time,operation,outcome,who,what\r\n"))
    }

    @Test func aRecordThatDoesNotFitTheLogEndsWithFive() throws {
        let log = try Log(["secret/app/one", "secret/app/two"])
        let name = try #require(
            FileManager.default.enumerator(atPath: log.path)?.compactMap { $0 as? String }.first {
                $0.hasSuffix(".jsonl")
            }
        )
        let file = log.path + "/" + name
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try text.replacing("secret/app/one", with: "secret/app/0ne").write(
            toFile: file,
            atomically: false,
            encoding: .utf8
        )
        for scan in [[], ["--scan"]] {
            let result = try run(["query", "--unrecorded", log.path] + scan)
            #expect(result.status == 5 && result.errors.contains("cannot look records up"))
            #expect(!result.output.contains("0ne"))
        }
    }

    @Test func anIndexIsMadeForACopyAndOneThatLiesIsNotBelieved() throws {
        let log = try Log(["secret/app/one"])
        let made = try run(["reindex", "--new", "--format", "json", "--unrecorded", log.path])
        #expect(made.status == 0 && made.output == "{\n  \"indexed\": 0,\n  \"recorded\": false\n}\n")
        try Data("no database".utf8).write(to: URL(fileURLWithPath: log.path + "/index.sqlite"))
        let result = try run(["query", "--path", "secret/app/*", "--unrecorded", log.path])
        #expect(result.status == 0 && result.output.contains("secret/app/one"))
        #expect(result.errors.contains("the index was not believed"))
    }

    // MARK: with a daemon

    private static func daemon(_ log: Log, _ more: [String: FakeDaemon.Reply] = [:]) throws -> FakeDaemon {
        let status = #"{"data":{"origin":"story.example/coffre","directory":"\#(log.path)","size":12,"index_size":0}}"#
        return try FakeDaemon(
            [
                "GET /v1/sys/audit/status": .json(200, status), "PUT /v1/sys/audit/verified": .json(204, ""),
            ].merging(more) { $1 }
        )
    }

    @Test func workOnTheLogOfADaemonIsRecordedThere() throws {
        let log = try Log(["secret/app/one"])
        let daemon = try Self.daemon(log)
        let query = ["query", "--actor", "cron.service", "--since", "2026-11-25", log.path]
        #expect(try run(query, socket: daemon.socketPath).errors == "")
        let verified = try run(["verify", "--format", "json", log.path], socket: daemon.socketPath)
        #expect(verified.status == 0 && verified.output.contains("\"recorded\": true"))
        let head = try run(["checkpoint", "--format", "json", log.path], socket: daemon.socketPath)
        #expect(head.status == 0 && head.output.contains("\"recorded\": true"))
        #expect(try run(["reindex", log.path], socket: daemon.socketPath).output == "0 records are indexed\n")
        let bodies = daemon.requests.filter { $0.line == "PUT /v1/sys/audit/verified" }.map(\.body)
        try #require(bodies.count == 4)
        #expect(bodies[0] == #"{"kind":"query","actor":"cron.service","since":"2026-11-25T00:00:00Z"}"#)
        #expect(bodies[1].contains(#""kind":"verify","valid":true,"size":"#) && bodies[1].contains(#""root":""#))
        #expect(bodies[2].contains(#""kind":"checkpoint""#) && bodies[3] == #"{"kind":"reindex","size":0}"#)
    }

    @Test func whatIsNotRecordedIsSaid() throws {
        let log = try Log(["secret/app/one"])
        let nobody = try run(["query", log.path])
        #expect(nobody.status == 0 && nobody.errors == "coffre: not recorded: no daemon answers\n")
        let verified = try run(["verify", log.path], language: "fr_FR.UTF-8")
        #expect(verified.output.contains("non consigné : aucun démon ne répond"))
        // A copy elsewhere is not the daemon's log.
        let other = try Log(["secret/app/two"])
        let daemon = try Self.daemon(other)
        let copy = try run(["query", log.path], socket: daemon.socketPath)
        #expect(copy.errors == "coffre: not recorded: not the log of the daemon\n")
        #expect(daemon.requests.count == 1)
        // Who may not be recorded sees nothing, unless he says that he means it.
        let strict = try Self.daemon(
            log,
            ["PUT /v1/sys/audit/verified": .json(403, #"{"errors":["permission denied"]}"#)]
        )
        let denied = try run(["query", log.path], socket: strict.socketPath)
        #expect(denied.status == 3 && denied.output == "")
        let stricter = try Self.daemon(
            log,
            ["GET /v1/sys/audit/status": .json(403, #"{"errors":["permission denied"]}"#)]
        )
        let refused = try run(["checkpoint", log.path], socket: stricter.socketPath)
        #expect(refused.status == 3 && refused.output == "" && refused.errors.contains("--unrecorded"))
        #expect(try run(["checkpoint", "--unrecorded", log.path], socket: stricter.socketPath).status == 0)
    }

    @Test func theStateOfALogIsToldByTheDaemonOrByItsFiles() throws {
        let log = try Log(["secret/app/one"])
        let status = """
            {"data":{"origin":"o","directory":"/x","size":5000,"writable":true,"key_location":"file","witness":"none",
            "checkpoint_size":4990,"checkpoint_age":7200,"epoch":3,"index_size":4096,"retention_months":24,
            "disk":{"state":"warning","free_bytes":1610612736,"growth_per_day":-2048}}}
            """
        let daemon = try Self.daemon(log, ["GET /v1/sys/audit/status": .json(200, status)])
        let french = try run(["status", "--lang", "fr"], socket: daemon.socketPath)
        #expect(french.status == 0)
        for words in [
            "Témoin externe aucun", "Époque 3", "2 h", "les 904 derniers",
            "dans un fichier de mode 0600", "disk.state warning", "disk.free_bytes 1,5 Gio",
            "disk.growth_per_day -2,0 Kio",
        ] {
            #expect(french.output.split(separator: " ").joined(separator: " ").contains(words), "\(words)")
        }
        let json = try run(["status", "--format", "json"], socket: daemon.socketPath).output
        #expect(json.contains("\"from_daemon\": true") && json.contains("\"state\": \"warning\""))
        #expect(json.contains("\"free_bytes\": 1610612736"))
        let files = try run(["status", "--format", "json", log.path])
        let facts = try #require(try JSONSerialization.jsonObject(with: Data(files.output.utf8)) as? [String: Any])
        #expect(facts["origin"] as? String == "story.example/coffre" && facts["retention_months"] as? Int == 24)
        #expect(facts["size"] as? Int == facts["checkpoint_size"] as? Int && facts["from_daemon"] as? Bool == false)
        #expect(facts["segments"] as? Int == 1 && facts["epoch"] as? Int == 0 && facts["first"] as? Int == 0)
        let absent = try run(["status", "/nonexistent"])
        #expect(absent.status == 64 && absent.errors.contains("there is no audit log in /nonexistent"))
        let silent = try run(["status"])
        #expect(silent.errors.contains("the daemon does not say"))
    }

    @Test func aDecisionIsExplainedInSentences() throws {
        let log = try Log(["secret/app/one"])
        let record = """
            {"_s":7,"_t":"2026-11-22T16:40:11.482913Z","out":{"code":"granted"},"what":{"op":"secret.read","path":"paie/rh"},
            "who":{"unit":"payroll.service"},"why":{"cap":"read","pol":"pay","polv":4,"rule":1,"sub":"required","purpose":"service"}}
            """
        let then = #"{"allowed":true,"policy":"pay","version":4,"rule":1,"text":"path \"paie/*\" {\n}"}"#
        let today = #"{"allowed":false,"policy":"pay","version":5,"rule":0,"reason":"the deciding rule says deny"}"#
        func answer(_ agrees: Bool) -> FakeDaemon.Reply {
            .json(200, #"{"data":{"record":\#(record),"then":\#(then),"today":\#(today),"agrees":\#(agrees)}}"#)
        }
        let daemon = try Self.daemon(log, ["GET /v1/sys/audit/why/7": answer(true)])
        let english = try run(["why", "7"], socket: daemon.socketPath)
        #expect(english.status == 0)
        #expect(
            english.output == """
                Record 7, 2026-11-22T16:40:11.482913Z: payroll.service asked for secret.read on paie/rh.
                Granted by rule 2 of pay, version 4.
                Purpose: service.
                A person had to stand behind it.
                Under the policies of that day: the same.
                  path "paie/*" {
                  }
                Today: rule 1 of pay, version 5 would deny it.

                """
        )
        let french = try run(["why", "7", "--lang", "fr"], socket: daemon.socketPath)
        #expect(french.output.contains("Accordé par la règle 2 de pay, version 4."))
        #expect(french.output.contains("Aujourd'hui : la règle 1 de pay, version 5 le refuserait."))
        let other = try Self.daemon(log, ["GET /v1/sys/audit/why/7": answer(false)])
        let wrong = try run(["why", "7"], socket: other.socketPath)
        #expect(wrong.status == 5 && wrong.output.contains("do not lead to this decision"))
        #expect(try run(["why", "8"], socket: daemon.socketPath).status == 4)
        #expect(try run(["why", "x"], socket: daemon.socketPath).status == 64)
    }
}
