import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

extension GrantTests {
    @Suite struct Process {
        private func job(_ stage: GrantStage, _ task: DatabaseTask, _ key: [UInt8], login: String?) -> BrokerJob {
            BrokerJob(
                kind: task.kind,
                host: "127.0.0.1",
                port: stage.server.port,
                database: stage.database,
                user: stage.server.user,
                tls: .disable,
                login: login,
                validUntil: login == nil ? nil : 1_999_999_999,
                task: task,
                publicKey: key
            )
        }

        @Test func aListOfDifferencesSurvivesABrokerThatDies() throws {
            let name = String(repeating: "n", count: 60)
            let stage = try GrantStage(
                """
                DO $$ BEGIN FOR i IN 100..199 LOOP
                    EXECUTE format('CREATE TABLE %s_%s (x int); GRANT ALL ON %1$s_%2$s TO PUBLIC', '\(name.dropLast(4))', i);
                END LOOP; END $$
                """
            )
            let keys = SealedBox.KeyPair()
            let broker = try RunningBroker()
            let id = randomJobID()
            let provision = try GrantProvision(plan: stage.plan([]), verifier: GrantStage.verifier.get())
            let login = GrantStage.freshLogin()
            let line = try broker.connect()
            try line.say(
                job(stage, .provision(provision), keys.publicKey, login: login),
                id,
                password: stage.server.password,
                loginPassword: GrantStage.password
            )
            guard case .answer(id, .differs(let told)) = try line.hear() else {
                Issue.record("not refused")
                return
            }
            // With public itself, in which the plan has nothing.
            #expect(told.list.count == 64 && told.total > 700)
            try broker.killAndRestart()
            let second = try broker.connect()
            try second.say(.collect, id)
            guard case .sealed(id, let box) = try second.hear() else {
                Issue.record("not kept")
                return
            }
            #expect(box.count > 4096)
            let opened = try box.withUnsafeBytes { box in
                try SealedBox.open(box, privateKey: keys.privateKey).withBytes { try BrokerAnswer(decoding: $0) }
            }
            #expect(opened == .differs(told))
            #expect(!broker.process.output.contains(GrantStage.password))
            #expect(try broker.folder.contains(GrantStage.password).isEmpty)
            #expect(try !stage.exists(login))
        }

        @Test func whatALookFoundIsNotKept() throws {
            let stage = try GrantStage(GrantStage.guide)
            let broker = try RunningBroker()
            let id = randomJobID()
            let line = try broker.connect()
            let task = DatabaseTask.inspect(try DatabaseQuestion(schema: "public"))
            let key = SealedBox.KeyPair().publicKey
            try line.say(job(stage, task, key, login: nil), id, password: stage.server.password)
            guard case .answer(id, .inspected(let found)) = try line.hear() else {
                Issue.record("not inspected")
                return
            }
            #expect(found.page?.tables.count == 4)
            #expect(broker.parked.isEmpty)
            try line.say(.collect, id)
            #expect(try line.hear() == .gone(id))
        }
    }
}
