import Testing

@testable import CoffreInsight

struct InsightRecordTests {
    private func parse(_ text: String) -> InsightRecord? {
        Array(text.utf8).withUnsafeBytes { InsightRecord.parse($0) }
    }

    private func line(
        _ operation: String,
        who: String = #"{"kind":"human","ksid":"s-KKK","pid":77,"sid":"s-abc","team":"juridique","tok":"a-zyx"}"#,
        what: String = #","path":"secret/paie/base""#,
        code: String = "granted",
        phase: String = "single",
        why: String = ""
    ) -> String {
        """
        {"_p":"AAAA","_s":12,"_t":"2026-11-23T16:40:11.483913Z","boot":"00","cid":"c","mono":1,\
        "out":{"code":"\(code)","us":7},"ph":"\(phase)","v":1,"what":{"op":"\(operation)"\(what)}\(why),"who":\(who)}
        """
    }

    @Test func aReadOfAPersonIsOne() throws {
        let event = try #require(parse(line("secret.read"))).event
        #expect(event.time == 1_795_452_011_483_913_000 && event.sequence == 12)
        #expect(event.kind == .user && event.actor == "s-abc" && event.kernel == "s-KKK" && event.pid == 77)
        #expect(event.teams == ["juridique"] && event.token == "a-zyx" && event.operation == .read)
        #expect(event.connector == "secret" && event.path == "secret/paie/base" && event.outcome == .ok && event.isUse)
    }

    @Test func aPersonBehindAServiceIsThePerson() throws {
        let who = #"{"for":"s-person","kind":"service","sid":"s-app","uid":988,"unit":"app.service"}"#
        let event = try #require(
            parse(line("lease.issue", who: who, what: #","conn":"c-1","path":"connectors/creds/a""#))
        )
        .event
        #expect(
            event.actor == "s-person" && event.kind == .user && event.unit == "app.service" && event.kernel == "988"
        )
        #expect(event.connector == "c-1" && event.operation == .read)
    }

    @Test(arguments: [
        ("auth.fail", "granted", InsightEvent.Operation.login, InsightEvent.Outcome.denied),
        ("secret.read", "denied", .read, .denied), ("secret.read", "error", .read, .error),
        ("rotation.fail", "granted", .rotate, .error), ("policy.change", "granted", .policyWrite, .ok),
        ("lease.revoke", "granted", .revoke, .ok), ("heartbeat", "granted", .heartbeat, .ok),
        ("connection.test", "granted", .other, .ok),
    ])
    func operationsAreThoseOfTheStream(
        _ name: String,
        _ code: String,
        _ operation: InsightEvent.Operation,
        _ outcome: InsightEvent.Outcome
    ) throws {
        let event = try #require(parse(line(name, code: code))).event
        #expect(event.operation == operation && event.outcome == outcome)
        #expect(try #require(parse(line(name, code: code, phase: "intent"))).event.operation == .other)
    }

    @Test func whatTheDaemonFoundItselfIsNoticed() throws {
        #expect(try #require(parse(line("wrap.replay", code: "denied"))).notice == .reopenedToken)
        #expect(try #require(parse(line("clock.jump"))).notice == .clockJump)
        let raised = line("anomaly.raise", what: #","det":{"kind":"rights_differ"}"#)
        #expect(try #require(parse(raised)).notice == .raised("rights_differ"))
        let own = line("anomaly.raise", who: Self.daemon, what: #","det":{"finding":"f-1","kind":"rate_spike"}"#)
        #expect(try #require(parse(own)).finding == "f-1")
        let root = line("secret.read", why: #","why":{"pol":"root","polv":1}"#)
        #expect(try #require(parse(root)).notice == .rootToken)
    }

    @Test func noticesAreFindings() throws {
        let detector = Detector(context: InsightContext(), key0: 1, key1: 2)
        let texts = [
            line("wrap.replay"), line("clock.jump"), line("secret.read", why: #","why":{"pol":"root"}"#),
            line("secret.read", why: #","why":{"pol":"root"}"#),
            line("anomaly.raise", what: #","det":{"kind":"disk"}"#),
            line("anomaly.raise", what: #","det":{"kind":"subject_replayed"}"#),
            line("anomaly.raise", who: Self.daemon, what: #","det":{"finding":"f","kind":"rate_spike"}"#),
        ]
        var kinds: [Finding.Kind] = []
        for (index, text) in texts.enumerated() {
            var record = try #require(parse(text))
            record.event.sequence = UInt64(index)
            kinds += detector.consume(record).map(\.kind)
        }
        #expect(kinds == [.wrappedTokenReopened, .clockIncident, .rootTokenUse, .logIncident, .subjectReplayed])
    }

    private func findings(_ texts: [String], _ detector: Detector) throws -> [Finding] {
        try texts.flatMap { detector.consume(try #require(parse($0))) }.filter { $0.kind != .auditTampering }
    }

    private static let bait = #","det":{"decoy":true},"path":"secret/prod/root-db""#
    private static let daemon = #"{"kind":"system","sid":"s-system"}"#
    private static let service = #"{"kind":"service","pid":9,"sid":"svc-a","uid":988,"unit":"app.service"}"#

    @Test func aMarkOfAnIntentIsNone() throws {
        #expect(try #require(parse(line("secret.read", what: Self.bait))).notice == .decoy)
        #expect(try #require(parse(line("secret.write", what: Self.bait, phase: "outcome"))).notice == .decoy)
        #expect(try #require(parse(line("secret.write", what: Self.bait, phase: "intent"))).notice == nil)
        for value in ["false", "null", "1", #""true""#, #"{"a":true}"#, "[true]"] {
            let what = #","det":{"decoy":\#(value)},"path":"secret/x""#
            #expect(try #require(parse(line("secret.read", what: what))).notice == nil, "\(value)")
        }
        #expect(
            try #require(parse(line("secret.read", what: #","det":{"a":1,"decoy":true,"z":"x"}"#))).notice == .decoy
        )
    }

    @Test func aTouchedDecoyIsToldOnceAnHour() throws {
        let detector = Detector(context: InsightContext(), key0: 1, key1: 2)
        let granted = line("secret.read", who: Self.service, what: Self.bait)
        let found = try findings([granted, granted], detector)
        #expect(found.map(\.kind) == [.decoyTouched])
        let finding = try #require(found.first)
        #expect(finding.score == 0.98 && finding.actor == "svc-a" && finding.severity == .critical)
        #expect(finding.records == [12])
        #expect(
            finding.english
                == "svc-a asks from unit app.service for the decoy secret/prod/root-db, for which nobody has a reason: it was handed out"
        )
        #expect(
            finding.french
                == "svc-a demande depuis l’unité app.service le leurre secret/prod/root-db, ce que rien ne justifie : il lui a été remis"
        )
        // Somebody else is told of, and the same one when an hour is over.
        let other = try findings([line("secret.read", what: Self.bait, code: "denied")], detector)
        #expect(other.map(\.score) == [0.95])
        #expect(other.first?.english.contains("asks from a process 77 of no unit for the decoy") == true)
        #expect(other.first?.english.hasSuffix("for which nobody has a reason: it was not handed out") == true)
        // So is the same one at another decoy.
        let second = granted.replacing("root-db", with: "root-db2")
        #expect(try findings([second, second], detector).map(\.kind) == [.decoyTouched])
        let later = try #require(parse(granted.replacing("16:40:11", with: "17:41:11")))
        #expect(detector.consume(later).map(\.kind).contains(.decoyTouched))
    }

    @Test(arguments: [
        ("secret.write", "granted", 0.98, "nothing of it was handed out, but the request was granted"),
        ("kv.metadata", "granted", 0.98, "nothing of it was handed out, but the request was granted"),
        ("auth.fail", "denied", 0.95, "it was not handed out"),
        ("secret.read", "error", 0.95, "it was not handed out"),
        ("overflow", "rate_limited", 0.95, "it was not handed out"),
    ])
    func whatCameOfATouchIsSaid(_ operation: String, _ code: String, _ score: Double, _ end: String) throws {
        let detector = Detector(context: InsightContext(), key0: 1, key1: 2)
        let found = try findings([line(operation, what: Self.bait, code: code)], detector)
        #expect(found.map(\.kind) == [.decoyTouched] && found.first?.score == score)
        #expect(found.first?.english.hasSuffix(end) == true, "\(found)")
    }

    /// The log writes what is longer than 512 bytes as its digest.
    @Test func aRecordWithALongPathIsARecord() throws {
        let what = #","det":{"decoy":true},"mount":"secret/","path":{"h":"AAAA","n":600}"#
        let record = try #require(parse(line("secret.read", what: what)))
        #expect(record.notice == .decoy && record.event.path.isEmpty && record.event.connector == "secret/")
    }

    /// A line as the daemon wrote it, of a caller whom nobody knows.
    @Test func aRefusalThatStandsAsItsDigestNamesTheDecoy() throws {
        let text = """
            {"_p":"yTc3tXGhE7s2EUXSRkCdZ6waNo7tjmyO3ZQQPxPGK7E=","_s":0,"_t":"2026-11-28T03:28:02.382011Z","boot":\
            "c721aa018c13448ab0348a68ddf7ab53","cid":"2265f0a1bbba4c13","mono":3966646574,"out":{"code":"denied","err":\
            "denied","us":5648},"ph":"single","v":1,"what":{"det":{"decoy":true},"mount":"secret/","op":"auth.fail","path":\
            "secret/prod/postgresql","pd":"Qbj8HIk1mPA4aCRGhKI5Lg==","pn":27},"who":{"gid":0,"kind":"service","pid":5040,\
            "sid":"s-eGmpUG93RhZnilfS2FDsfX","uid":0}}
            """
        let detector = Detector(context: InsightContext(), key0: 1, key1: 2)
        let found = try findings([text], detector)
        #expect(found.map(\.kind) == [.decoyTouched] && found.first?.actor == "s-eGmpUG93RhZnilfS2FDsfX")
        #expect(
            found.first?.english.contains("from a process 5040 of no unit for the decoy secret/prod/postgresql") == true
        )
    }

    private func refused(_ details: String, _ phase: String = "single") -> String {
        line(
            "auth.fail",
            who: Self.service,
            what: ",\"det\":{\(details)},\"mount\":\"secret/\",\"pd\":\"x\"",
            phase: phase
        )
        .replacing(#""out":{"code":"granted""#, with: #""out":{"code":"denied","err":"token_bound""#)
    }

    @Test func aTokenOfAnotherProcessIsStolen() throws {
        let text = refused(#""accessor":"acc","of":"s-owner","of_unit":"payroll.service""#)
        #expect(try #require(parse(text)).notice == .stolenToken(.init(sid: "s-owner", unit: "payroll.service")))
        #expect(try #require(parse(refused(#""of":"x""#, "intent"))).notice == nil)
        let detector = Detector(context: InsightContext(), key0: 1, key1: 2)
        let found = try findings([text, text], detector)
        #expect(found.map(\.kind) == [.stolenToken])
        let finding = try #require(found.first)
        #expect(finding.score == 1 && finding.actor == "svc-a")
        #expect(
            finding.english
                == "svc-a presents from unit app.service a token that is bound to payroll.service (s-owner): refused, the token was copied"
        )
        #expect(
            finding.french
                == "svc-a présente depuis l’unité app.service un jeton lié à payroll.service (s-owner) : refusé, le jeton a été copié"
        )
        let unknown = Detector(context: InsightContext(), key0: 1, key1: 2)
        let bare = try findings([refused(#""accessor":"acc""#)], unknown)
        #expect(bare.first?.english.contains("bound to another process") == true)
        // Whose decoy was asked for as well comes second: the token is known to be copied.
        #expect(try #require(parse(refused(#""decoy":true"#))).notice == .stolenToken(.init()))
    }

    @Test(arguments: [
        #","det":{"decoy":true},"path":"secret/prod/x""#, #","det":{"of":"a","of_unit":{"h":"x","n":1}}"#, "",
    ])
    func everyByteMayBeWrong(_ what: String) {
        let bytes = Array(line("secret.read", what: what, why: #","why":{"pol":"root"}"#).utf8)
        for place in bytes.indices {
            for byte: UInt8 in [0, 0x22, 0x5c, 0x7b, 0x7d, 0x2c, 0xff] {
                var changed = bytes
                changed[place] = byte
                _ = changed.withUnsafeBytes { InsightRecord.parse($0) }
            }
            #expect(bytes[..<place].withUnsafeBytes { InsightRecord.parse($0) } == nil)
        }
    }
}
