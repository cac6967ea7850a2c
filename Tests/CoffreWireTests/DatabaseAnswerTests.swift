import CoffreWire
import Testing

@Suite struct DatabaseAnswerTests {
    private static let inspection: DatabaseInspection = {
        var found = DatabaseInspection()
        found.serverVersion = "15.18 (Debian)"
        found.tlsVersion = "TLSv1.3"
        found.serverTLSVersion = "TLSv1.3"
        found.connectMicroseconds = 12_345
        found.roundTripMicroseconds = 210
        found.validUntil = -1
        found.isSuperuser = true
        found.mayCreateRoles = true
        found.schemas = [.init(name: "public", tables: 3), .init(name: "x\n\"", tables: 0)]
        found.tables = 3
        found.counts = [.exact(.max), .estimate(7), .denied, .missing, .unknown]
        found.page = .init(
            tables: [.init(name: "t", kind: .view, columns: ["a", "é"]), .init(name: "u", kind: .table, columns: [])],
            isTruncated: true
        )
        return found
    }()

    private static let roles = DatabaseRoles(
        [
            .init(
                name: "coffre_a",
                isLogin: true,
                validUntil: 1_900_000_000,
                memberOf: ["coffre_g_a"],
                members: 0,
                sessions: 2
            ),
            .init(name: "coffre_g_a", isLogin: false, validUntil: nil, memberOf: [], members: 1, sessions: 0),
        ],
        isTruncated: true
    )

    private static let withdrawals = DatabaseWithdrawals(
        isMeasured: true,
        logins: [
            DatabaseWithdrawals.Login(
                name: "coffre_a",
                sessionsEnded: 2,
                statements: [
                    DatabaseWithdrawals.Statement(id: -7, calls: 1, rows: .max, microseconds: 3),
                    DatabaseWithdrawals.Statement(id: nil, calls: 4, rows: 0, microseconds: 0),
                ]
            ), DatabaseWithdrawals.Login(name: "coffre_b", failure: BrokerFailure(.statement, sqlState: "2BP01")),
            DatabaseWithdrawals.Login(name: "coffre_c", failure: BrokerFailure(.timeout)),
        ]
    )

    /// A hundred logins with the longest names and a thousand statements still fit what is kept of an answer.
    @Test func theLargestWithdrawalCanBeKept() {
        let statement = DatabaseWithdrawals.Statement(id: .max, calls: .max, rows: .max, microseconds: .max)
        let logins = (100..<250).map { number in
            DatabaseWithdrawals.Login(
                name: String(repeating: "n", count: 60) + "\(number)",
                failure: BrokerFailure(.statement, sqlState: "2BP01"),
                statements: Array(repeating: statement, count: 50)
            )
        }
        let answer = DatabaseWithdrawals(isMeasured: true, logins: logins)
        #expect(answer.logins.count == 100)
        #expect(answer.logins.reduce(0) { $0 + $1.statements.count } == 1000)
        #expect(BrokerAnswer.withdrawn(answer).encode().count + 64 < BrokerAnswer.maximumSealedBytes)
    }

    private static let answers: [BrokerAnswer] = [
        .differs(
            GrantDifferences(
                [
                    GrantDifference(
                        .definer,
                        object: "public.f()",
                        mend: "REVOKE EXECUTE ON ROUTINE public.f() FROM PUBLIC"
                    ),
                    GrantDifference(.missingTable, object: "public.\"a\nb\""),
                ],
                total: 70
            )
        ),
        .inspected(inspection), .inspected(DatabaseInspection()), .audited(roles),
        .audited(DatabaseRoles([], isTruncated: false)), .withdrawn(withdrawals),
        .withdrawn(DatabaseWithdrawals(isMeasured: false, logins: [])),
    ]

    @Test(arguments: answers)
    func whateverAnswerDecodesEncodesToTheSameBytes(answer: BrokerAnswer) throws {
        let bytes = BrokerAnswer.Parcel.plain(answer).encode()
        #expect(try bytes.withUnsafeBytes { try BrokerAnswer.Parcel(decoding: $0) } == .plain(answer))
        var generator = SplitMix(state: 11)
        for _ in 0..<20_000 {
            let changed = generator.mutate(bytes)
            guard let parcel = try? changed.withUnsafeBytes({ try BrokerAnswer.Parcel(decoding: $0) }) else { continue }
            #expect(parcel.encode() == changed)
        }
        for length in 0..<bytes.count {
            let cut = Array(bytes[..<length])
            #expect(throws: BrokerWireError.self) { try cut.withUnsafeBytes { try BrokerAnswer.Parcel(decoding: $0) } }
        }
    }

    @Test func whatIsTooMuchIsCutAndSaid() throws {
        let long = String(repeating: "é", count: 2000)
        let list = (0..<100).map { _ in GrantDifference(.table, object: long, mend: long) }
        let differences = GrantDifferences(list, total: 0)
        #expect(differences.total == 100)
        #expect((1...64).contains(differences.list.count))
        #expect(differences.list.allSatisfy { $0.object.utf8.count == 2048 && $0.mend == nil })
        let bytes = BrokerAnswer.differs(differences).encode()
        #expect(bytes.count <= GrantDifferences.maximumBytes + 1)
        #expect(try bytes.withUnsafeBytes { try BrokerAnswer(decoding: $0) } == .differs(differences))

        var found = DatabaseInspection()
        found.schemas = (0..<300).map { .init(name: "s\($0)", tables: 0) } + [.init(name: "", tables: 1)]
        let columns = (0..<999).map { "c\($0)" }
        found.page = .init(
            tables: (0..<12).map { .init(name: "t\($0)", kind: .table, columns: columns) },
            isTruncated: false
        )
        let answer = try BrokerAnswer.inspected(found).encode().withUnsafeBytes { try BrokerAnswer(decoding: $0) }
        guard case .inspected(let told) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(told.schemas.count == 200)
        #expect(told.schemasAreTruncated)
        #expect(told.page?.tables.count == 10)
        #expect(told.page?.isTruncated == true)
    }

    @Test func theLargestAnswerFitsAFrame() throws {
        let name = String(repeating: "x", count: 63)
        var found = DatabaseInspection()
        found.schemas = (0..<200).map { _ in .init(name: name, tables: .max) }
        found.page = .init(
            tables: (0..<10_000).map { _ in .init(name: name, kind: .table, columns: []) },
            isTruncated: true
        )
        #expect(BrokerAnswer.Parcel.plain(.inspected(found)).encode().count <= BrokerFrame.maximumBodyBytes)
        let role = DatabaseRoles.Role(
            name: name,
            isLogin: true,
            validUntil: 1,
            memberOf: [String](repeating: name, count: 20),
            members: 1,
            sessions: 1
        )
        let roles = DatabaseRoles([DatabaseRoles.Role](repeating: role, count: 1001), isTruncated: false)
        #expect(roles.isTruncated && roles.roles.count == 1000 && roles.roles[0].memberOf.count == 8)
        #expect(BrokerAnswer.Parcel.plain(.audited(roles)).encode().count <= BrokerFrame.maximumBodyBytes)
    }

    @Test(arguments: BrokerFailure.Code.allCases)
    func everyFailureHasASentence(code: BrokerFailure.Code) {
        for state in [nil, "28P01", "28000", "3D000", "53300", "57P03", "2BP01", "42501"] {
            #expect(!BrokerFailure(code, sqlState: state).sentence.isEmpty)
        }
    }
}
