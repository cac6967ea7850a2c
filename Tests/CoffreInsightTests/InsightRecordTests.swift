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
        let own = line("anomaly.raise", what: #","det":{"finding":"f-1","kind":"rate_spike"}"#)
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
            line("anomaly.raise", what: #","det":{"finding":"f","kind":"rate_spike"}"#),
        ]
        var kinds: [Finding.Kind] = []
        for (index, text) in texts.enumerated() {
            var record = try #require(parse(text))
            record.event.sequence = UInt64(index)
            kinds += detector.consume(record).map(\.kind)
        }
        #expect(kinds == [.wrappedTokenReopened, .clockIncident, .rootTokenUse, .logIncident, .subjectReplayed])
    }

    @Test func everyByteMayBeWrong() {
        let bytes = Array(line("secret.read", why: #","why":{"pol":"root"}"#).utf8)
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
