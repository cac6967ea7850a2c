import CoffreTestSupport
import Foundation
import Testing

/// Either daemon, or the database itself, killed at each step of making a login of a connection and of taking it back.
@Suite(.serialized)
struct ConnectionKillTests {
    private typealias Story = ConnectionStoryTests

    enum Victim: CaseIterable {
        case vault
        case broker
        case database

        func kill(_ stage: DatabaseStage) {
            switch self {
            case .vault: try? stage.vault.kill()
            case .broker: stage.killBroker()
            case .database: stage.server.crash()
            }
        }
    }

    /// Has `victim` die at `point` of what `work` does, and everything started again.
    private static func whenKilled<R>(
        _ victim: Victim,
        at point: DatabaseStage.Point,
        _ stage: DatabaseStage,
        _ work: () throws -> R
    ) throws -> R {
        let death = Thread.Box<Bool>()
        stage.kill(at: point, isLost: victim != .database) {
            victim.kill(stage)
            death.set(.success(true))
        }
        let result = try work()
        try eventually(within: 30, "\(victim) is dead at \(point)") { death.value != nil }
        try stage.server.resume()
        try stage.recover()
        return result
    }

    /// coffred dies while it issues in `aDaemonKilledWhileItIssuesLeavesNoOrphan`.
    @Test(arguments: [Victim.broker, .database])
    func whoeverDiesWhileALoginIsMadeLeavesNoOrphan(_ victim: Victim) throws {
        let (stage, people) = try ConnectionFaultTests.staged()
        for point in DatabaseStage.Point.allCases {
            let answer = try Self.whenKilled(victim, at: point, stage) {
                try people.ask("GET", "connectors/creds/production", as: "nadia", expect: [200, 400, 502])
            }
            try eventually(within: 30, "no orphan after \(point)") {
                guard try ConnectionFaultTests.orphans(stage, people) == 0 else { return false }
                return try Self.logins(stage).count == (answer.status == 200 ? 1 : 0)
            }
            // What was handed out works, whoever died right after.
            guard answer.status == 200, let user = answer.data["username"] as? String,
                let password = answer.data["password"] as? String, let lease = answer.json["lease_id"] as? String
            else { continue }
            let login = Story.Login(user: user, password: password, lease: lease)
            #expect(Story.does("SELECT * FROM clients", stage, login), "\(point)")
            try stage.write("sys/leases/revoke", ["lease_id": lease, "sync": true])
        }
        #expect(Story.does("SELECT * FROM clients", stage, try Story.issue(people, "nadia")))
        let found = try people.ask("POST", Story.path + "/reconcile", [:], as: "sarah").data
        #expect((found["logins_without_lease"] as? [String])?.isEmpty == true, "\(found)")
        #expect((found["leases_without_login"] as? [String])?.isEmpty == true, "\(found)")
        try stage.vault.verifyLog()
    }

    @Test(arguments: Victim.allCases)
    func whoeverDiesWhileALoginIsTakenBackItEnds(_ victim: Victim) throws {
        let (stage, people) = try ConnectionFaultTests.staged()
        for point in DatabaseStage.Point.allCases {
            let login = try Story.issue(people, "nadia")
            #expect(Story.does("SELECT * FROM clients", stage, login))
            let body = try CoffredProcess.json(["lease_id": login.lease, "sync": true])
            try Self.whenKilled(victim, at: point, stage) {
                _ = try? stage.vault.request("POST", "sys/leases/revoke", token: stage.root, body: body)
            }
            try eventually(within: 30, "the login of \(point) is gone, and its lease") {
                guard try ConnectionFaultTests.orphans(stage, people) == 0 else { return false }
                return try Self.logins(stage).isEmpty
            }
            #expect(!Story.does("SELECT 1", stage, login), "\(point)")
        }
        try stage.vault.verifyLog()
    }

    private static func logins(_ stage: DatabaseStage) throws -> [String] {
        try Story.roles(stage).filter { !$0.hasPrefix("coffre_g_") }
    }
}
