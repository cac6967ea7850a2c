import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

extension GrantTests {
    @Suite struct Load {
        private static func plan(_ stage: GrantStage, _ columns: GrantPlan.Columns = .all) throws -> GrantPlan {
            try stage.plan([
                GrantStage.table("clients", read: .all), GrantStage.table("factures", read: .all),
                GrantStage.table("salaires", read: columns),
            ])
        }

        @Test func sixteenAtOnceAllGetTheirLogin() throws {
            let stage = try GrantStage(GrantStage.guide)
            // First nobody has made the group role, then its plan has changed, then it is as it should be.
            for columns in [GrantPlan.Columns.all, .only(["nom"]), .only(["nom"])] {
                let plan = try Self.plan(stage, columns)
                let begin = ContinuousClock.now
                let logins = try onThreads((0..<16).map { _ in { try stage.issued(plan) } })
                #expect(ContinuousClock.now - begin < .seconds(15))
                #expect(Set(logins).count == 16)
                #expect(try logins.allSatisfy { try stage.may("SELECT nom FROM salaires", as: $0) })
                let gone = try onThreads(logins.map { login in { try stage.revoke(login).isDone } })
                #expect(gone.allSatisfy { $0 })
            }
            #expect(try stage.perform(.retire(group: stage.group)).isDone)
        }

        @Test func differentPlansOnTheSameTablesDoNotMeet() throws {
            let first = try GrantStage(GrantStage.guide)
            let groups = (0..<16).map { first.group + "_\($0)" }
            let logins = try onThreads(
                groups.map { group in
                    {
                        let plan = try GrantPlan(
                            group: group,
                            tables: Self.plan(first).tables,
                            isReadOnly: true,
                            accepted: Self.plan(first).accepted
                        )
                        return try first.issued(plan)
                    }
                }
            )
            #expect(try logins.allSatisfy { try first.may("SELECT * FROM salaires", as: $0) })
            for login in logins { #expect(try first.revoke(login).isDone) }
            for group in groups { #expect(try first.perform(.retire(group: group)).isDone) }
        }

        @Test func tenThousandTablesAreAskedAboutInReasonableTime() throws {
            let stage = try GrantStage(
                """
                DO $$ BEGIN FOR i IN 1..10000 LOOP
                    EXECUTE format('CREATE TABLE t%s (id int, a text, b text)', i); IF i % 1000 = 0 THEN COMMIT; END IF;
                END LOOP; END $$
                """
            )
            let tables = try (1...2000).map {
                try GrantStage.table("t\($0)", read: $0.isMultiple(of: 2) ? .all : .only(["id", "a"]))
            }
            let plan = try stage.plan(tables)
            let clock = ContinuousClock()
            var logins: [String] = []
            let first = try clock.measure { logins.append(try stage.issued(plan)) }
            let second = try clock.measure { logins.append(try stage.issued(plan)) }
            #expect(first < .seconds(15))
            #expect(second < .seconds(5))
            #expect(try stage.may("SELECT a FROM t1", as: logins[0]) && stage.may("SELECT * FROM t2", as: logins[0]))
            #expect(
                try !stage.may("SELECT b FROM t1", as: logins[1]) && !stage.may("SELECT a FROM t9999", as: logins[1])
            )
            // One table of ten thousand is open.
            try stage.sql("GRANT SELECT (b) ON t9999 TO PUBLIC")
            let answer = try stage.provision(plan, GrantStage.freshLogin())
            #expect(GrantStage.differences(answer) == ["column:SELECT ON public.t9999(b)"])
            try stage.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC")
            guard case .differs(let all) = try stage.provision(plan, GrantStage.freshLogin()) else {
                Issue.record("not refused")
                return
            }
            #expect(all.total == 9000 && all.list.count == 64)
            print("provision with 10,000 tables, 2,000 in the plan: first \(first), then \(second)")
            for login in logins { #expect(try stage.revoke(login).isDone) }
            try stage.sql("REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM PUBLIC")
            // The group role has all of everything, and the plan is as long as can be, then as short.
            try stage.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO \(stage.group)")
            let most = try stage.plan(
                (1...2000).map { try GrantStage.table("t\($0)", read: .all, insert: .only(["a", "b"]), update: .all) },
                readOnly: false
            )
            let third = try clock.measure { logins = [try stage.issued(most)] }
            #expect(try stage.revoke(logins[0]).isDone)
            #expect(third < .seconds(15))
            let none = try stage.plan([GrantStage.table("t1", read: .all)])
            #expect(try stage.revoke(stage.issued(none)).isDone)
        }

        @Test(arguments: [true, false])
        func aConnectionCutAtAnyStepLeavesNothingThatStays(before: Bool) throws {
            let stage = try GrantStage(GrantStage.guide)
            let plan = try Self.plan(stage)
            var number = 0
            var isDone = false
            while !isDone, number < 60 {
                number += 1
                let proxy = try PostgresProxy(to: stage.server.port, before ? .cutBefore(number) : .cutAfter(number))
                defer { proxy.stop() }
                var cut = stage
                cut.port = proxy.port
                cut.connectTimeout = 3
                let login = GrantStage.freshLogin()
                let answer = try cut.provision(plan, login)
                isDone = answer.isDone
                #expect(isDone == !proxy.outcome.isBroken || isDone, "step \(number)")
                if !isDone { #expect(answer.failure != nil, "step \(number): \(answer)") }
                // Whatever became of it, a revocation ends it, and the next one is as if nothing had been.
                #expect(try stage.revoke(login).isDone, "step \(number)")
                #expect(try !stage.exists(login), "step \(number)")
                #expect(try stage.revoke(stage.issued(plan)).isDone, "step \(number)")
                if number.isMultiple(of: 3) { #expect(try stage.perform(.retire(group: stage.group)).isDone) }
            }
            #expect(isDone && number > 8)
        }

        @Test(arguments: [1, 5])
        func aServerThatAnswersAByteASecondIsGivenUp(step: Int) throws {
            let stage = try GrantStage(GrantStage.guide)
            let proxy = try PostgresProxy(to: stage.server.port, .drip(step))
            defer { proxy.stop() }
            var slow = stage
            slow.port = proxy.port
            slow.connectTimeout = 1
            slow.statementTimeout = 1
            let login = GrantStage.freshLogin()
            let begin = ContinuousClock.now
            #expect(try slow.provision(Self.plan(stage), login).failure?.code == .timeout)
            #expect(try slow.perform(.inspect(DatabaseQuestion())).failure?.code == .timeout)
            #expect(ContinuousClock.now - begin < .seconds(12))
            proxy.stop()
            #expect(try stage.revoke(login).isDone)
        }

        @Test func aServerThatSaysNothingIsGivenUp() throws {
            let listener = try SilentListener()
            var stage = try GrantStage()
            stage.port = listener.port
            stage.connectTimeout = 1
            #expect(try stage.provision(Self.plan(stage), GrantStage.freshLogin()).failure?.code == .timeout)
            #expect(try stage.perform(.audit(after: nil)).failure?.code == .timeout)
        }

        @Test func revocationEndsSessionsThatWriteWhileItRuns() throws {
            let stage = try GrantStage(GrantStage.guide)
            let plan = try stage.plan([GrantStage.table("clients", read: .all, update: .all)], readOnly: false)
            let login = try stage.issued(plan)
            let loop = "DO $$ BEGIN LOOP UPDATE clients SET email = 'x'; PERFORM pg_sleep(0.01); END LOOP; END $$"
            let sessions = try (0..<3).map { _ in
                try stage.server.session(loop, database: stage.database, as: (login, GrantStage.password))
            }
            try eventually("three sessions") {
                try stage.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '\(login)'") == "3"
            }
            guard case .done(_, _, let ended) = try stage.revoke(login) else {
                Issue.record("not revoked")
                return
            }
            #expect(ended == 3)
            for session in sessions { #expect(try session.wait() != 0) }
            #expect(try stage.revoke(login).isDone)
        }
    }
}
