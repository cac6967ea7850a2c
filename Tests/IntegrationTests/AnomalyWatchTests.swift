import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// A running coffred that watches its own log: what it finds, whom it tells, and what becomes of it when something fails.
@Suite(.serialized)
struct AnomalyWatchTests {
    /// The session of the README: somebody goes through all secrets, and people hear of it.
    @Test func aSweepIsFoundToldExplainedAndAcknowledged() throws {
        let stage = try AlertStage()
        try stage.secrets(40)
        let thief = try stage.reader("intern")
        try stage.sweep(thief, 40)
        let end = Date()
        try eventually(within: 5, "the incident") { try !stage.incidents("mass_enumeration").isEmpty }
        #expect(Date().timeIntervalSince(end) < 2)
        let incident = try #require(try stage.incidents("mass_enumeration").first)
        let number = try #require(incident["id"] as? Int)
        try eventually(within: 5, "the mail") {
            try stage.mails().contains { $0.headers.contains("X-Coffre-Incident: \(number)") }
        }
        let mail = try #require(try stage.mails().first { $0.headers.contains("X-Coffre-Incident: \(number)") })
        #expect(mail.text.contains("different secrets") && mail.text.contains("secrets différents"))
        #expect(mail.headers.contains("Message-ID: <anomaly-"))
        try eventually(within: 5, "the webhook") {
            try stage.hooks().contains { $0.body["incident"] as? Int == number }
        }
        #expect(try stage.hooks().allSatisfy(\.isValid))

        let explained = try stage.coffre(["anomaly", "explain", "\(number)"])
        #expect(explained.status == 0 && explained.output.contains("secret.read"), "\(explained.output)")
        #expect(explained.output.contains("secret/app/19"), "\(explained.output)")
        let listed = try stage.coffre(["anomaly", "list"])
        #expect(listed.status == 0 && listed.output.contains("\(number)"))
        let acknowledged = try stage.coffre(["anomaly", "ack", "\(number)", "--reason", "asked the intern"])
        #expect(acknowledged.status == 0, "\(acknowledged.output)")
        let shown = try stage.call("GET", "sys/anomalies/\(number)").data
        #expect(shown["state"] as? String == "acknowledged" && shown["handled_reason"] as? String == "asked the intern")
        let closed = try stage.coffre(["anomaly", "close", "\(number)", "--reason", "an exercise"])
        #expect(closed.status == 0)
        #expect(try stage.incidents("mass_enumeration", state: "closed").count == 1)
        for word in ["ack", "close"] {
            let again = try stage.coffre(["anomaly", word, "\(number)", "--reason", "changed my mind"])
            #expect(again.status != 0 && again.output.contains("incident \(number) is closed"), "\(again.output)")
        }
        let keys = try stage.call("LIST", "sys/anomalies?state=all").data["keys"] as? [String]
        #expect(keys?.contains("\(number)") == true)

        let details = try stage.daemon.records().compactMap { $0["what"] as? [String: Any] }
        let operations = details.compactMap { $0["op"] as? String }
        for name in ["anomaly.raise", "anomaly.ack", "anomaly.close"] { #expect(operations.contains(name), "\(name)") }
        try stage.daemon.stop()
        try stage.daemon.verifyLog()
    }

    /// SIGKILL while findings are made: afterwards the log holds each of them once.
    @Test func aKillNeitherLosesNorRepeatsAFinding() throws {
        let stage = try AlertStage("alerts_per_day = 1000", hasPost: false)
        try stage.secrets(34)
        let rounds = ProcessInfo.processInfo.environment["COFFRE_SOAK"] == nil ? 6 : 60
        var generator = SystemRandomNumberGenerator()
        for round in 0..<rounds {
            let tokens = try (0..<4).map { try stage.reader("r\(round)-\($0)") }
            let delay = UInt32.random(in: 0..<400_000, using: &generator)
            let daemon = stage.daemon
            let isDead = DispatchSemaphore(value: 0)
            let killer = Thread {
                // Any moment of the sweeps.
                usleep(delay)
                try? daemon.kill()
                isDead.signal()
            }
            killer.start()
            for token in tokens { try? stage.sweep(token, 34) }
            isDead.wait()
            try stage.daemon.start()
        }
        // What was granted to whom, by the log itself.
        try stage.call("GET", "sys/anomalies/status")
        var reads: [String: Set<String>] = [:]
        for record in try stage.daemon.records() {
            guard let what = record["what"] as? [String: Any], what["op"] as? String == "secret.read",
                let path = what["path"] as? String, let sid = (record["who"] as? [String: Any])?["sid"] as? String
            else { continue }
            reads[sid, default: []].insert(path)
        }
        let swept = Set(reads.filter { $0.value.count >= 20 }.keys)
        try eventually(within: 10, "everything is found") {
            Set(try stage.incidents("mass_enumeration").compactMap { $0["actor"] as? String }) == swept
        }
        #expect(!swept.isEmpty)
        let names = try stage.findings()
        #expect(names.count == Set(names).count, "\(names)")
        let sweeps = try stage.daemon.records().filter { record in
            let what = record["what"] as? [String: Any]
            return what?["op"] as? String == "anomaly.raise"
                && (what?["det"] as? [String: Any])?["kind"] as? String == "mass_enumeration"
        }
        #expect(sweeps.count == swept.count)
        try stage.daemon.stop()
        try stage.daemon.verifyLog()
    }

    @Test func whatCannotBeDeliveredWaitsInOrder() throws {
        let stage = try AlertStage("alerts_per_day = 1000")
        try stage.secrets(32)
        try eventually("the first mail") { try !stage.mails().isEmpty }
        try stage.behave("mail", "refuse")
        let before = try stage.mails().count
        for number in 0..<5 { try stage.sweep(try stage.reader("w\(number)"), 32) }
        // One channel that is down holds up no other.
        try eventually(within: 10, "the webhook has all") {
            try stage.hooks().filter { $0.body["kind"] as? String == "mass_enumeration" }.count == 5
        }
        let numbers = try stage.hooks().compactMap { $0.body["number"] as? Int }
        #expect(numbers == numbers.sorted())
        let status = try stage.call("GET", "sys/anomalies/status").data
        let mail = (status["channels"] as? [[String: Any]])?.first { $0["name"] as? String == "mail" }
        #expect(mail?["waiting"] as? Int == 5 && (mail?["error"] as? String)?.isEmpty == false, "\(status)")
        // It waits across a restart and a kill as well.
        try stage.daemon.stop()
        try stage.daemon.start()
        try stage.daemon.kill()
        try stage.daemon.start()
        #expect(try stage.mails().count == before)
        try stage.behave("mail", "honest")
        try eventually(within: 60, "the mails") { try stage.mails().count == before + 5 }
        let incidents = try stage.mails().suffix(5).map { mail in
            mail.headers.components(separatedBy: "X-Coffre-Incident: ")[1].prefix { $0.isNumber }
        }
        #expect(incidents.compactMap { Int($0) } == incidents.compactMap { Int($0) }.sorted())
        #expect(Set(incidents).count == 5)
        try eventually("nothing waits") {
            let status = try stage.call("GET", "sys/anomalies/status").data
            let channels = status["channels"] as? [[String: Any]] ?? []
            return channels.count == 3 && channels.allSatisfy { $0["waiting"] as? Int == 0 && $0["lost"] as? Int == 0 }
        }
    }

    @Test func aSlowWebServerOrABrokerThatIsAwayHoldsUpNobody() throws {
        let stage = try AlertStage("alerts_per_day = 1000")
        try stage.secrets(32)
        try stage.behave("hook", "slow")
        let token = try stage.reader("slow")
        try stage.sweep(token, 32)
        let start = Date()
        try stage.sweep(token, 32)
        #expect(Date().timeIntervalSince(start) < 2)
        try eventually(within: 4, "the mail") {
            try stage.mails().contains { $0.text.contains("different secrets") }
        }
        try stage.killBroker()
        try stage.sweep(try stage.reader("away"), 32)
        try eventually("it is found") { try stage.incidents("mass_enumeration").count == 2 }
        try eventually(within: 10, "the journal has it") {
            stage.daemon.output.components(separatedBy: "kind=mass_enumeration").count == 3
        }
        try stage.behave("hook", "honest")
        try stage.startBroker()
        try eventually(within: 60, "all is delivered") {
            try stage.hooks().filter { $0.status == 204 && $0.body["kind"] as? String == "mass_enumeration" }.count >= 2
                && stage.mails().filter { $0.text.contains("different secrets") }.count == 2
        }
    }

    @Test func theDaysBudgetHoldsTheRestBackAndSaysSo() throws {
        let stage = try AlertStage("alerts_per_day = 3")
        try stage.secrets(32)
        for number in 0..<5 { try stage.sweep(try stage.reader("b\(number)"), 32) }
        try eventually("all are found") { try stage.incidents("mass_enumeration").count == 5 }
        // The use of the root token was the first.
        let held = try stage.call("GET", "sys/anomalies?held=true").data["incidents"] as? [[String: Any]] ?? []
        #expect(held.count == 3)
        try eventually(within: 10, "the mails") { try stage.mails().count == 4 }
        #expect(try stage.mails().last?.text.contains("alerts today already") == true)
        let status = try stage.call("GET", "sys/anomalies/status").data
        #expect(status["held_today"] as? Int == 3 && status["alerts_today"] as? Int == 3, "\(status)")
        let metrics = try stage.call("GET", "sys/metrics?format=prometheus").text
        #expect(metrics.contains("coffre_anomaly_held_total 3"))
        #expect(metrics.contains(#"coffre_anomaly_findings_total{kind="mass_enumeration"} 5"#))
        let listed = try stage.coffre(["anomaly", "list", "--held", "--format", "json"])
        let json = try JSONSerialization.jsonObject(with: Data(listed.output.utf8)) as? [[String: Any]]
        #expect(json?.count == 3, "\(listed.output)")
    }

    @Test func whatIsMutedIsListedAndToldToNobody() throws {
        let stage = try AlertStage()
        try stage.secrets(32)
        let set = try stage.coffre([
            "anomaly", "mute", "set", "--kind", "mass_enumeration", "--for", "2h", "--reason", "a drill",
        ])
        #expect(set.status == 0, "\(set.output)")
        try stage.sweep(try stage.reader("quiet"), 32)
        try eventually("it is found") { try stage.incidents("mass_enumeration").count == 1 }
        let incident = try #require(try stage.incidents("mass_enumeration").first)
        let mutes = try stage.call("GET", "sys/anomalies/mutes").data["mutes"] as? [[String: Any]] ?? []
        let mute = try #require(mutes.first?["id"] as? Int)
        #expect(incident["muted_by"] as? Int == mute && incident["alerted"] is NSNull)
        #expect(try stage.coffre(["anomaly", "mute", "end", "\(mute)"]).status == 0)
        try stage.sweep(try stage.reader("loud"), 32)
        try eventually(within: 10, "the mail") {
            try stage.mails().filter { $0.text.contains("different secrets") }.count == 1
        }
        #expect(try stage.mails().allSatisfy { !$0.headers.contains("Incident: \(incident["id"] ?? 0)\r") })
    }

    @Test func anAnswerMaySlowDownOrHoldUntilSomebodyLooks() throws {
        let stage = try AlertStage(
            """
            hold = ["mass_enumeration"]
            slow = ["root_token_use"]
            slow_milliseconds = 700
            paths = ["secret/app/*"]
            """,
            hasPost: false
        )
        try stage.secrets(32)
        let (thief, other) = (try stage.reader("thief"), try stage.reader("other"))
        try stage.sweep(thief, 32)
        try eventually("it is held") {
            let answer = try stage.call("GET", "secret/data/app/1", token: thief)
            return answer.status == 403 && answer.text.contains("held: incident")
        }
        #expect(try stage.call("GET", "secret/data/app/1", token: other).status == 200)
        #expect(try stage.call("GET", "secret/data/other", token: thief).status == 404)
        #expect(try stage.call("LIST", "secret/metadata/app", token: thief).status == 403)
        let number = try #require(try stage.incidents("mass_enumeration").first?["id"] as? Int)
        let refusals = try stage.daemon.records().filter { record in
            ((record["what"] as? [String: Any])?["det"] as? [String: Any])?["held"] as? Int == number
        }
        #expect(!refusals.isEmpty)
        #expect(try stage.call("POST", "sys/anomalies/\(number)/ack", "{}").status == 204)
        try eventually("it is released") { try stage.call("GET", "secret/data/app/1", token: thief).status == 200 }
        let start = Date()
        #expect(try stage.call("GET", "secret/data/app/1").status == 200)
        #expect(Date().timeIntervalSince(start) >= 0.7)
    }

    /// Without its memory the watch learns from the log what there was, and tells nobody again.
    @Test(arguments: ["lost", "damaged", "older log"])
    func aLostMemoryIsMadeAnewAndTellsNobodyAgain(what: String) throws {
        let stage = try AlertStage()
        try stage.secrets(32)
        try stage.sweep(try stage.reader("before"), 32)
        try eventually(within: 10, "the mails") { try stage.mails().count == 2 }
        let number = try #require(try stage.incidents("mass_enumeration").first?["id"] as? Int)
        try stage.call("POST", "sys/anomalies/\(number)/close", #"{"reason":"known"}"#)
        try stage.daemon.stop()
        let file = stage.daemon.stateFolder + "/anomaly.state"
        if what == "lost" {
            try FileManager.default.removeItem(atPath: file)
        } else if what == "damaged" {
            var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
            bytes[bytes.count / 2] ^= 0x40
            try bytes.write(to: URL(fileURLWithPath: file))
        } else {
            var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
            bytes[2] ^= 1
            try bytes.write(to: URL(fileURLWithPath: file))
        }
        let names = try stage.findings()
        try stage.daemon.start()
        try eventually("the book is made anew") { try stage.incidents("mass_enumeration", state: "closed").count == 1 }
        #expect(try stage.incidents("mass_enumeration").first?["id"] as? Int == number)
        try stage.sweep(try stage.reader("after"), 32)
        try eventually(within: 10, "the next mail") {
            try stage.mails().filter { $0.text.contains("different secrets") }.count == 2
        }
        let now = try stage.findings()
        #expect(Set(now).isSuperset(of: names) && now.count == Set(now).count)
        #expect(stage.daemon.output.contains("the watch begins anew") == (what != "lost"))
    }

    @Test func whatMakesNoSenseIsRefused() throws {
        let stage = try AlertStage(hasPost: false)
        try eventually("an incident") { try !stage.incidents("root_token_use").isEmpty }
        let number = try #require(try stage.incidents("root_token_use").first?["id"] as? Int)
        let long = String(repeating: "x", count: 501)
        let bad: [(String, String, String?, Int)] = [
            ("GET", "sys/anomalies/1", nil, 404), ("GET", "sys/anomalies/-1", nil, 404),
            ("GET", "sys/anomalies/99999999999999999999", nil, 404), ("GET", "sys/anomalies?state=ajar", nil, 400),
            ("GET", "sys/anomalies?kind=none", nil, 400), ("GET", "sys/anomalies?limit=0", nil, 400),
            ("GET", "sys/anomalies?after=x", nil, 400), ("POST", "sys/anomalies/1/ack", "{}", 404),
            ("POST", "sys/anomalies/\(number)/close", "{}", 400),
            ("POST", "sys/anomalies/\(number)/ack", #"{"reason":"\#(long)"}"#, 400),
            ("POST", "sys/anomalies/mutes", "{}", 400),
            ("POST", "sys/anomalies/mutes", #"{"reason":"r","ttl":"1h"}"#, 400),
            ("POST", "sys/anomalies/mutes", #"{"reason":"r","kind":"none","ttl":"1h"}"#, 400),
            ("POST", "sys/anomalies/mutes", #"{"reason":"r","actor":"a","ttl":"-1h"}"#, 400),
            ("POST", "sys/anomalies/mutes", #"{"reason":"r","actor":"a","ttl":"90000h"}"#, 400),
            ("POST", "sys/anomalies/mutes", #"{"reason":"r","actor":"a","until":"yesterday"}"#, 400),
            ("DELETE", "sys/anomalies/mutes/7", nil, 404), ("DELETE", "sys/anomalies/\(number)", nil, 405),
        ]
        for (method, path, body, status) in bad {
            let answer = try stage.call(method, path, body)
            #expect(answer.status == status, "\(method) \(path) \(body ?? ""): \(answer.status) \(answer.text)")
        }
        #expect(try stage.incidents("root_token_use").first?["state"] as? String == "open")
        #expect(try stage.call("GET", "sys/anomalies", token: stage.reader("nobody")).status == 403)
        // Letters that move cursors come back as they were given, and reach no terminal.
        let reason = try CoffredProcess.json(["reason": "\u{1b}[2J\u{202e}evil"])
        #expect(try stage.call("POST", "sys/anomalies/\(number)/ack", reason).status == 204)
        let shown = try stage.coffre(["anomaly", "show", "\(number)"])
        #expect(shown.status == 0 && !shown.output.contains("\u{1b}[2J") && !shown.output.contains("\u{202e}"))
        let wrong = try stage.coffre(["anomaly", "show", "1"])
        #expect(wrong.status != 0 && wrong.output.contains("no such incident"), "\(wrong.output)")
    }

    /// A mount may have any number of words, and a suspect any number of names.
    @Test func holdsReachEveryMountAndNoSuspectJudgesHisPlace() throws {
        let stage = try AlertStage("hold = [\"mass_enumeration\"]\npaths = [\"team/kv/pay/*\"]", hasPost: false)
        try stage.secrets(32)
        try stage.call("POST", "sys/mounts/team/kv", #"{"type":"kv-v2"}"#)
        try stage.call("POST", "team/kv/data/pay/1", #"{"data":{"k":"v"}}"#)
        let policy = #"path "*" { capabilities = ["create","read","update","delete","list"] }"#
        try stage.call("PUT", "sys/policies/acl/reader", try CoffredProcess.json(["policy": policy]))
        let thief = try stage.reader("thief")
        #expect(try stage.call("GET", "team/kv/data/pay/1", token: thief).status == 200)
        try stage.sweep(thief, 32)
        try eventually("it is held") { try stage.call("GET", "team/kv/data/pay/1", token: thief).status == 403 }
        #expect(try stage.call("GET", "team/kv/metadata/pay/1", token: thief).status == 403)
        #expect(try stage.call("LIST", "team/kv/metadata/pay", token: thief).status == 403)
        #expect(try stage.call("GET", "secret/data/app/1", token: thief).status == 200)
        // This test's uid is where its log-ins come from.
        for _ in 0..<30 {
            _ = try stage.daemon.request("POST", "auth/approle/login", body: #"{"role_id":"x","secret_id":"y"}"#)
        }
        try stage.call("POST", "sys/auth/approle", #"{"type":"approle"}"#)
        for _ in 0..<30 {
            _ = try stage.daemon.request("POST", "auth/approle/login", body: #"{"role_id":"x","secret_id":"y"}"#)
        }
        try eventually("the burst") { try !stage.incidents("denied_burst").isEmpty }
        let burst = try #require(try stage.incidents("denied_burst").first)
        let (number, actor) = (try #require(burst["id"] as? Int), try #require(burst["actor"] as? String))
        #expect(actor == "uid:\(geteuid())")
        let close = "sys/anomalies/\(number)/close"
        #expect(try stage.call("POST", close, #"{"reason":"mine"}"#, token: thief).status == 403)
        let mute = try CoffredProcess.json(["actor": actor, "reason": "r", "ttl": "1h"])
        #expect(try stage.call("POST", "sys/anomalies/mutes", mute, token: thief).status == 403)
        #expect(try stage.call("POST", close, #"{"reason":"looked"}"#).status == 204)
    }

    @Test func nobodyJudgesWhatHeDidHimself() throws {
        let stage = try AlertStage("hold = [\"mass_enumeration\"]", hasPost: false)
        try stage.secrets(32)
        let rules = """
            path "secret/*" { capabilities = ["read"] }
            path "sys/anomalies*" { capabilities = ["read", "update"] }
            path "sys/policies/acl/reader" { capabilities = ["update"] }
            """
        try stage.call("PUT", "sys/policies/acl/reader", try CoffredProcess.json(["policy": rules]))
        let thief = try stage.reader("thief")
        let own = try CoffredProcess.json(["policy": rules + "\npath \"more/*\" { capabilities = [\"read\"] }"])
        #expect(try stage.call("PUT", "sys/policies/acl/reader", own, token: thief).status == 204)
        try eventually("it is seen") { try stage.incidents("privilege_escalation").count == 1 }
        try stage.sweep(thief, 32)
        try eventually("it is held") { try stage.call("GET", "secret/data/app/1", token: thief).status == 403 }
        let incident = try #require(try stage.incidents("mass_enumeration").first)
        let (number, actor) = (try #require(incident["id"] as? Int), try #require(incident["actor"] as? String))
        for path in ["sys/anomalies/\(number)/ack", "sys/anomalies/\(number)/close"] {
            #expect(try stage.call("POST", path, #"{"reason":"r"}"#, token: thief).status == 403)
        }
        for body in [
            #"{"actor":"\#(actor)","ttl":"1h","reason":"r"}"#, #"{"kind":"stolen_token","ttl":"25h","reason":"r"}"#,
        ] {
            #expect([400, 403].contains(try stage.call("POST", "sys/anomalies/mutes", body, token: thief).status))
        }
        #expect(try stage.call("GET", "secret/data/app/1", token: thief).status == 403)
    }

    @Test func nobodyWatchesWhereThatIsTurnedOff() throws {
        let (daemon, root) = try CoffredProcess.unsealed()
        let answer = try daemon.request("GET", "sys/anomalies", token: root)
        #expect(answer.status == 404 && answer.text.contains("enabled = false"))
        #expect(!FileManager.default.fileExists(atPath: daemon.stateFolder + "/anomaly.state"))
    }
}
