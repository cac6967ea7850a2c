import CoffreTestSupport
import Foundation
import Synchronization
import Testing

/// Connections when things go wrong: either daemon killed at each frame between them, and places where no credential may
/// go.
@Suite(.serialized)
struct ConnectionFaultTests {
    private typealias Story = ConnectionStoryTests

    static func staged() throws -> (DatabaseStage, ConnectionStage) {
        let stage = try DatabaseStage()
        try Story.prepare(stage)
        let people = try ConnectionStage(stage.vault, stage.root, people: ["sarah": [], "nadia": ["finance"]])
        try people.ask("POST", Story.path, ["type": "postgresql", "fields": Story.fields(stage)], as: "sarah")
        try people.ask(
            "POST",
            Story.path + "/permissions",
            ["tables": Story.rules(["clients": "read"]), "grants": [["group": "finance", "level": "read"]]],
            as: "sarah"
        )
        return (stage, people)
    }

    /// Logins at the server that belong to no lease.
    static func orphans(_ stage: DatabaseStage, _ people: ConnectionStage) throws -> Int {
        let logins = try Story.asDBA(
            stage,
            "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname LIKE 'coffre\\_production\\_%'"
        )
        let leases = try people.ask("GET", Story.path + "/consequences", as: "sarah").data["leases"] as? Int ?? 0
        return (Int(logins) ?? 0) - leases
    }

    @Test func aDaemonKilledWhileItIssuesLeavesNoOrphan() throws {
        let (stage, people) = try Self.staged()
        for point in DatabaseStage.Point.allCases {
            stage.kill(at: point) { try? stage.vault.kill() }
            let answer = try? people.status("GET", "connectors/creds/production", as: "nadia")
            #expect(answer != 200, "\(point)")
            try eventually("coffred is dead at \(point)") { !stage.vault.isRunning }
            try stage.recover()
            try eventually(within: 30, "no orphan after \(point)") { try Self.orphans(stage, people) <= 0 }
        }
        let login = try Story.issue(people, "nadia")
        #expect(Story.does("SELECT * FROM clients", stage, login))
        // A name that would make a login look like a role that holds rights.
        let path = "connectors/connections/g-suite"
        try people.ask("POST", path, ["type": "postgresql", "fields": Story.fields(stage)], as: "sarah")
        try people.ask("POST", path + "/permissions", ["tables": Story.rules(["clients": "read"])], as: "sarah")
        let other = try people.ask("GET", "connectors/creds/g-suite?ttl=1m", as: "sarah")
        #expect((other.data["username"] as? String)?.hasPrefix("coffre_c_g_suite_") == true)
        #expect((other.json["lease_duration"] as? Int ?? 0) <= 60)
        try stage.vault.verifyLog()
    }

    /// Whoever dies whenever: afterwards the stored password is the one in force, or the vault says that it is unsure and
    /// the next rotation settles it.
    @Test(arguments: [true, false])
    func aRotationThatIsCutOffGoesOn(killsVault: Bool) throws {
        let (stage, people) = try Self.staged()
        for nth in [1, 2] {
            for point in DatabaseStage.Point.allCases {
                stage.kill(at: point, nth: nth) {
                    if killsVault { try? stage.vault.kill() } else { stage.killBroker() }
                }
                _ = try? people.status("POST", Story.path + "/rotate", [:], as: "sarah")
                if killsVault { try eventually("coffred is dead at \(point)") { !stage.vault.isRunning } }
                try stage.recover()
                let moment = "job \(nth), \(point)"
                try eventually(within: 60, "it rotates again after \(moment)") {
                    // The broker may die a moment later than it was seen.
                    try stage.recover()
                    return try people.status("POST", Story.path + "/rotate", [:], as: "sarah") == 204
                }
                let test = try people.ask("POST", Story.path + "/test", [:], as: "sarah").data
                #expect(test["works"] as? Bool == true, "\(moment): \(test)")
                #expect((test["administration"] as? [String: Any])?["works"] as? Bool == true, "\(moment)")
            }
        }
        let overview = try people.ask("GET", "connectors/rotations", as: "sarah").data
        let rows = try #require(overview["rotations"] as? [[String: Any]])
        #expect(rows.allSatisfy { $0["is_unsure"] as? Bool == false && $0["failure"] is NSNull }, "\(rows)")
        #expect(Story.does("SELECT 1", stage, try Story.issue(people, "nadia")))
        try stage.vault.verifyLog()
    }

    /// Two connections with one account: a password that changes in one would lock the other out.
    @Test func anAccountOfSeveralConnectionsIsLeftToPeople() throws {
        let (stage, people) = try Self.staged()
        let body: [String: Any] = ["type": "postgresql", "fields": Story.fields(stage)]
        func automatic() throws -> Int {
            let rows = try people.ask("GET", "connectors/rotations", as: "sarah").data["rotations"] as? [[String: Any]]
            return (rows ?? []).count { $0["automatic"] as? Bool == true }
        }
        #expect(try automatic() == 2)
        try people.ask("POST", "connectors/connections/second", body, as: "sarah")
        #expect(try automatic() == 0)
        #expect(try people.status("POST", Story.path + "/rotate", [:], as: "sarah") == 400)
        try people.ask("DELETE", "connectors/connections/second", as: "sarah")
        #expect(try automatic() == 2)
        try people.ask("POST", Story.path + "/rotate", [:], as: "sarah", expect: [204])
    }

    @Test func noCredentialGoesWhereItMayNot() throws {
        let (stage, people) = try Self.staged()
        let canary = "egress-canary-77"
        for (host, words) in [
            ("169.254.169.254", ["may not connect there"]), ("fe80::1", ["may not connect there"]),
            ("::ffff:169.254.169.254", ["may not connect there"]), ("10.0.0.1", ["may not connect there"]),
            ("/run/coffre", ["Unix socket", "host"]), ("@abstract", ["Unix socket", "host"]),
            ("db,evil.example.com", ["more than one host", "host"]),
            ("db passfile=/etc/passwd", ["host"]), ("db service=x", ["host"]),
            ("nowhere.invalid", ["no address", "in time"]),
        ] {
            var fields = Story.fields(stage)
            fields["host"] = host
            fields["password"] = canary
            let answer = try people.ask(
                "POST",
                "connectors/connections/elsewhere",
                ["type": "postgresql", "fields": fields],
                as: "sarah",
                expect: [400, 502, 503]
            )
            #expect(words.contains { answer.text.contains($0) }, "\(host): \(answer.text)")
            #expect(!answer.text.contains(canary))
        }
        // A server that was trusted once does not pass its secret on: the host changes, the secret is void.
        let moved = try people.ask("POST", Story.path, ["fields": ["host": "127.0.0.2"]], as: "sarah")
        #expect((moved.data["secrets"] as? [String: Any])?.isEmpty == true)
        let test = try people.ask("POST", Story.path + "/test", [:], as: "sarah", expect: [400])
        #expect(test.text.contains("enter it"))
    }

    /// Accepts, and says nothing, or one byte now and then.
    @Test(arguments: [0, 1])
    func aServerThatNeverAnswersHoldsNobodyUp(bytesASecond: Int) throws {
        let (stage, people) = try Self.staged()
        let listener = try SilentServer(bytesASecond: bytesASecond)
        var fields = Story.fields(stage)
        fields["port"] = "\(listener.port)"
        let begin = ContinuousClock.now
        let body: [String: Any] = ["type": "postgresql", "fields": fields]
        let text = try CoffredProcess.json(body)
        let (vault, token) = (stage.vault, people.tokens["sarah"])
        Thread.detachNewThread {
            _ = try? vault.request("POST", "connectors/connections/slow", token: token, body: text)
        }
        // Others go on meanwhile.
        try people.ask("POST", Story.path + "/test", [:], as: "sarah")
        #expect(ContinuousClock.now - begin < .seconds(20))
        let status = try people.status("POST", "connectors/connections/slow2", body, as: "sarah")
        #expect(status == 400)
        #expect(ContinuousClock.now - begin < .seconds(90))
    }

    /// The administration account's password changes while logins are made and removed: nobody notices.
    @Test func loginsGoOnWhileThePasswordOfTheirAccountChanges() throws {
        let (stage, people) = try Self.staged()
        let tokens = people.tokens
        let isOver = Mutex(false)
        let work: @Sendable () throws -> Int = {
            var made = 0
            while !isOver.withLock({ $0 }) {
                let answer = try stage.vault.request("GET", "connectors/creds/production", token: tokens["nadia"])
                guard answer.status == 200, let lease = answer.json["lease_id"] as? String else {
                    throw RunningProcess.Failure(description: "\(answer.status) \(answer.text)")
                }
                made += 1
                let body = try CoffredProcess.json(["lease_id": lease])
                let ended = try stage.vault.request("PUT", "sys/leases/revoke", token: stage.root, body: body)
                guard ended.status == 204 else { throw RunningProcess.Failure(description: ended.text) }
            }
            return made
        }
        let change: @Sendable () throws -> Int = {
            defer { isOver.withLock { $0 = true } }
            for _ in 0..<8 {
                let answer = try stage.vault.request("POST", Story.path + "/rotate", token: tokens["sarah"], body: "{}")
                guard answer.status == 204 else { throw RunningProcess.Failure(description: answer.text) }
            }
            return 0
        }
        let made = try onThreads([change] + Array(repeating: work, count: 6))
        #expect(made.reduce(0, +) > 5)
    }
}
