import CoffreWire
import Testing

@Suite struct GrantCodecTests {
    static let verifier =
        "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$\(String(repeating: "A", count: 43))=:\(String(repeating: "b", count: 43))="

    static func plan(_ name: String = "coffre_g_lecture") throws -> GrantPlan {
        try GrantPlan(
            group: name,
            tables: [
                GrantPlan.Table(schema: "public", name: "salaires", read: .only(["service", "nom", "e\u{301}", "é"])),
                GrantPlan.Table(schema: "public", name: "clients", read: .all, insert: .only(["a"]), update: .all),
                GrantPlan.Table(schema: "A \"b\"\n", name: "'; DROP TABLE x; --", delete: true),
            ],
            isReadOnly: false,
            accepted: [
                GrantPlan.Acceptance("connect:postgres"), GrantPlan.Acceptance("temp"),
                GrantPlan.Acceptance("definer:public.f(integer, text)"), GrantPlan.Acceptance("connect"),
            ]
        )
    }

    private static func jobs() throws -> [(job: BrokerJob, login: String?)] {
        let key = [UInt8](0..<32)
        func job(_ task: DatabaseTask, login: String? = nil, end: Int64? = nil) -> BrokerJob {
            BrokerJob(
                kind: task.kind,
                host: "db.example",
                database: "d",
                user: "u",
                login: login,
                validUntil: end,
                task: task,
                publicKey: key
            )
        }
        let provision = try GrantProvision(plan: plan(), verifier: verifier, connectionLimit: 3)
        let counts = [try DatabaseQuestion.Table(schema: "public", name: "clients")]
        return [
            (job(.provision(provision), login: "coffre_x", end: 1_900_000_000), "password"),
            (job(.retire(group: "coffre_g_old")), nil),
            (job(.inspect(try DatabaseQuestion(counts: counts, schema: "public", after: "a"))), nil),
            (job(.inspect(try DatabaseQuestion())), nil),
            (job(.audit(after: nil)), nil),
            (job(.audit(after: "coffre_a")), nil),
            (job(.withdraw(["coffre_a", "coffre_production_x"])), nil),
            (job(.check(try GrantCheck(plan: plan(), isRepairing: true)), login: "coffre_x", end: 1_900_000_000), nil),
        ]
    }

    @Test(arguments: 0..<8)
    func aJobComesBackAsItWasAndNothingElseDecodes(index: Int) throws {
        let (job, login) = try Self.jobs()[index]
        let bytes = try BrokerJobBytes.encode(job, "admin", login)
        #expect(try bytes.withUnsafeBytes { try BrokerJobView(decoding: $0).job } == job)
        #expect(try BrokerJobBytes.reencode(bytes) == bytes)
        var generator = SplitMix(state: UInt64(index) + 77)
        for _ in 0..<8_000 {
            let changed = generator.mutate(bytes)
            guard let again = try? BrokerJobBytes.reencode(changed) else { continue }
            #expect(again == changed)
        }
        for length in 0..<bytes.count {
            #expect(throws: BrokerWireError.self) { try BrokerJobBytes.reencode(Array(bytes[..<length])) }
        }
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.reencode(bytes + [0]) }
    }

    @Test func onePlanHasOneEncodingWhateverItsOrder() throws {
        let plan = try Self.plan()
        let turned = try GrantPlan(
            group: plan.group,
            tables: plan.tables.reversed(),
            isReadOnly: false,
            accepted: plan.accepted.reversed()
        )
        #expect(turned == plan)
        #expect(turned.encode() == plan.encode())
        #expect(try plan.encode().withUnsafeBytes { try GrantPlan(decoding: $0) } == plan)
        var generator = SplitMix(state: 5)
        for _ in 0..<20_000 {
            let changed = generator.mutate(plan.encode())
            guard let other = try? changed.withUnsafeBytes({ try GrantPlan(decoding: $0) }) else { continue }
            #expect(other.encode() == changed)
        }
    }

    @Test func namesThatUnicodeHoldsForEqualAreTwoNames() throws {
        let columns = GrantPlan.Columns.only(["é", "e\u{301}"])
        let table = try GrantPlan.Table(schema: "s", name: "t", read: columns)
        guard case .only(let names) = table.read else {
            Issue.record("no list")
            return
        }
        #expect(names.map { Array($0.utf8) } == [Array("e\u{301}".utf8), Array("é".utf8)])
    }

    @Test(arguments: [
        "coffre_g_", "coffre_G_a", "coffre_g_a-b", "coffre_g_é", "other", "", "coffre_g_a\"",
        "coffre_g_" + String(repeating: "x", count: 55), "coffre_g_a\n",
    ])
    func aGroupOfAnotherFormIsRefused(name: String) {
        #expect(throws: BrokerWireError.self) { try GrantPlan.check(group: name) }
        #expect(throws: BrokerWireError.self) { try GrantPlan(group: name, tables: [], isReadOnly: true) }
    }

    @Test(arguments: [
        "coffre_", "coffre_g_a", "postgres", "Coffre_a", "coffre_a b", "coffre_" + String(repeating: "x", count: 57),
    ])
    func aLoginOfAnotherFormIsRefused(name: String) throws {
        var (job, _) = try Self.jobs()[0]
        job.login = name
        #expect(throws: BrokerWireError.self) { try job.validate() }
    }

    @Test(arguments: [
        [], ["postgres"], ["coffre_a", "coffre_g_b"], ["coffre_a b"], (0...100).map { "coffre_a\($0)" },
    ])
    func onlyLoginsOfCoffresMakingAreRemovedTogether(logins: [String]) throws {
        var job = try Self.jobs()[6].job
        try job.validate()
        job.task = .withdraw(logins)
        #expect(throws: BrokerWireError.self) { try job.validate() }
    }

    @Test func limitsHold() throws {
        let long = String(repeating: "n", count: 64)
        for (schema, name) in [(long, "t"), ("s", long), ("", "t"), ("s", ""), ("s", "a\0b"), ("pg_catalog", "t")] {
            #expect(throws: BrokerWireError.self) { try GrantPlan.Table(schema: schema, name: name, read: .all) }
        }
        #expect(throws: BrokerWireError.self) { try GrantPlan.Table(schema: "s", name: "t") }
        for columns in [[], [long], [""], ["a", "a"], (0...1600).map { "c\($0)" }] {
            #expect(throws: BrokerWireError.self) {
                try GrantPlan.Table(schema: "s", name: "t", read: .only(columns))
            }
        }
        let write = try GrantPlan.Table(schema: "s", name: "t", delete: true)
        let group = "coffre_g_a"
        #expect(throws: BrokerWireError.self) { try GrantPlan(group: group, tables: [write], isReadOnly: true) }
        #expect(throws: BrokerWireError.self) {
            try GrantPlan(group: group, tables: [write, write], isReadOnly: false)
        }
        let many = try (0...2000).map { try GrantPlan.Table(schema: "s", name: "t\($0)", read: .all) }
        #expect(throws: BrokerWireError.self) { try GrantPlan(group: group, tables: many, isReadOnly: true) }
        _ = try GrantPlan(group: group, tables: many.dropLast(), isReadOnly: true)
        let columns = (0..<1600).map { "c\($0)" + String(repeating: "x", count: 50) }
        let wide = try (0..<10).map { try GrantPlan.Table(schema: "s", name: "t\($0)", read: .only(columns)) }
        #expect(throws: BrokerWireError.self) { try GrantPlan(group: group, tables: wide, isReadOnly: true) }
    }

    @Test func theLargestPlanFitsAFrame() throws {
        let columns = (0..<1300).map { "c\($0)" + String(repeating: "x", count: 50) }
        let tables = try (0..<10).map { try GrantPlan.Table(schema: "s", name: "t\($0)", read: .only(columns)) }
        let plan = try GrantPlan(group: "coffre_g_a", tables: tables, isReadOnly: true)
        var (job, _) = try Self.jobs()[0]
        job.task = .provision(try GrantProvision(plan: plan, verifier: Self.verifier))
        job.rootCertificate = [UInt8](repeating: 0x41, count: BrokerJob.Limit.certificate)
        let bytes = try BrokerJobBytes.encode(job, "admin", String(repeating: "p", count: BrokerJob.Limit.password))
        #expect(plan.encode().count > 700_000)
        #expect(try BrokerJobBytes.reencode(bytes) == bytes)
    }

    @Test(arguments: [
        "", "secret", "SCRAM-SHA-256$", "md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", verifier + "x", verifier + "\n",
        verifier.replacing("4096", with: "4096'"), verifier.replacing("$4096", with: "$$4096"),
    ])
    func whatTheServerWouldTakeForAPasswordIsNoVerifier(text: String) throws {
        let plan = try Self.plan()
        #expect(throws: BrokerWireError.self) { try GrantProvision(plan: plan, verifier: text) }
    }

    @Test func tasksThatContradictTheirJobAreRefused() throws {
        var (job, login) = try Self.jobs()[0]
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "admin", nil) }
        job.validUntil = nil
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "admin", login) }
        job.validUntil = 253_402_300_800
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "admin", login) }
        (job, login) = try Self.jobs()[0]
        job.task = .audit(after: nil)
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "admin", login) }
        job.task = nil
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "admin", login) }
        (job, login) = try Self.jobs()[1]
        job.task = .retire(group: "postgres")
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "admin", login) }
        (job, login) = try Self.jobs()[4]
        job.kind = .verify
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "admin", login) }
        #expect(throws: BrokerWireError.self) { try DatabaseQuestion(after: "a") }
    }

    @Test(arguments: ["temp", "connect:postgres", "connect:a:b", "definer:public.f(integer)", "row-security"])
    func anAcceptanceHasOneText(text: String) throws {
        #expect(try GrantPlan.Acceptance(text).description == text)
    }

    @Test(arguments: [
        "", "temp:", "superuser", "attribute", "membership:x", "ownership", "missing-table", "Temp", ":x",
    ])
    func whatNobodyMayAcceptIsRefused(text: String) {
        #expect(throws: BrokerWireError.self) { try GrantPlan.Acceptance(text) }
    }

    /// Jobs and answers of before, byte for byte: the two sides of the protocol may be of two versions for a while.
    @Test func otherJobsAreEncodedAsEver() throws {
        func field(_ tag: UInt8, _ bytes: [UInt8]) -> [UInt8] { [tag, 0, 0, 0, UInt8(bytes.count)] + bytes }
        let job = BrokerJob(
            kind: .renew,
            host: "h",
            database: "d",
            user: "u",
            login: "x",
            validUntil: 1,
            publicKey: key
        )
        let expected =
            field(1, [4]) + field(2, Array("h".utf8)) + field(3, [0x15, 0x38]) + field(4, Array("d".utf8))
            + field(5, Array("u".utf8)) + field(6, [1]) + field(7, [13]) + field(9, Array("x".utf8)) + field(10, [])
            + field(11, [0, 0, 0, 0, 0, 0, 0, 1]) + field(12, key) + field(13, [0, 0, 0, 10])
            + field(14, [0, 0, 0, 30])
            + field(15, Array("admin".utf8))
        #expect(try BrokerJobBytes.encode(job, "admin", nil) == expected)
        let done = BrokerAnswer.done(serverVersion: "15", tlsVersion: nil, sessionsEnded: 2)
        #expect(done.encode() == [1] + field(1, Array("15".utf8)) + field(3, [0, 0, 0, 2]))
        #expect(
            BrokerAnswer.failed(BrokerFailure(.rights, sqlState: "42501")).encode() == [2, 6] + Array("42501".utf8)
        )
    }

    private let key = [UInt8](0..<32)

    @Test func answersOfLooksAreNotKept() throws {
        let kept = try Self.jobs().map { job, login in
            try BrokerJobBytes.encode(job, "admin", login).withUnsafeBytes {
                try BrokerWork(decoding: $0).publicKey != nil
            }
        }
        #expect(kept == [true, true, false, false, false, false, true, false])
    }
}
