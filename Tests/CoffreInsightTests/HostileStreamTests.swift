import Testing

@testable import CoffreInsight

/// Streams that nobody honest writes: nothing traps, what is kept is bounded, and what is told stays one line of text.
struct HostileStreamTests {
    private func line(
        _ time: String,
        _ sequence: UInt64,
        actor: String = "u",
        kind: String = "user",
        operation: String = "read",
        path: String = "p",
        outcome: String = "ok",
        token: String = "t",
        pid: Int64 = 1
    ) -> String {
        """
        {"time":"\(time)","seq":\(sequence),"actor":{"kind":"\(kind)","id":"\(actor)","uid":\(pid),"unit":"\(actor)",\
        "teams":["\(actor)"]},"operation":"\(operation)","connector":"kv","path":"\(path)","outcome":"\(outcome)",\
        "token_accessor":"\(token)","client_pid":\(pid)}
        """
    }

    private func parse(_ text: String) -> InsightEvent? {
        Array(text.utf8).withUnsafeBytes { InsightLine.parse($0) }
    }

    /// One line, printable, with everything in its range.
    private func check(_ finding: Finding) {
        let line = finding.line
        #expect(line.count < 8192 && line.allSatisfy { $0 >= 0x20 && $0 != 0x7f })
        let text = String(validating: line, as: UTF8.self)
        #expect(text?.unicodeScalars.allSatisfy { $0.properties.generalCategory != .format } == true)
        #expect((0...1).contains(finding.score) && finding.records.count <= 32)
        // Quotes are closed, and nothing is escaped that JSON does not know.
        var (isInside, isEscaped) = (false, false)
        for byte in line {
            if isEscaped {
                #expect([0x22, 0x5c, 0x75].contains(byte))
                isEscaped = false
            } else if isInside, byte == 0x5c {
                isEscaped = true
            } else if byte == 0x22 {
                isInside.toggle()
            }
        }
        #expect(!isInside && !isEscaped)
    }

    /// The clock of each event is anything between the ends of what can be written, in every time zone.
    @Test(arguments: [-50_400, 0, 50_400] as [Int64])
    func clocksThatJump(offset: Int64) throws {
        var context = Office.context
        context.utcOffset = offset
        var detector = Detector(context: context, key0: 1, key1: 2)
        var random = Office.Generator(state: 5)
        let office = Office(days: 6).events
        let times: [Int64] = [
            0, 1, Span.hour, Span.dayLength, Office.begin, Office.begin - 1, 7_258_118_399 * Span.second,
            InsightTime.parse("2200-12-31T23:59:60.999999999Z") ?? 0,
        ]
        var found = 0
        for (index, event) in office.enumerated() {
            var event = event
            // Small times first: the last one is the end of all time.
            let reach = min(times.count, 1 + index * times.count / office.count)
            if index < 200 || Int.random(in: 0..<3, using: &random) == 0 {
                event.time = times[Int.random(in: 0..<reach, using: &random)]
            }
            let told = detector.consume(event)
            told.forEach(check)
            found += told.count
            if index % 501 == 0 { detector = try Detector(restoring: detector.saved(), context: context) }
        }
        #expect(found < office.count / 2)
    }

    /// A state goes on in another time zone, as after a change to winter time.
    @Test func aStateMayMoveWestAndEast() throws {
        let office = Office(days: 12).events
        var context = Office.context
        var detector = Detector(context: context, key0: 1, key1: 2)
        for (index, event) in office.enumerated() {
            if index % 97 == 0 {
                context.utcOffset = index % 2 == 0 ? -36_000 : 36_000
                detector = try Detector(restoring: detector.saved(), context: context)
            }
            detector.consume(event).forEach(check)
        }
        #expect(detector.state.actors.count >= 6)
    }

    @Test func anyOrderAndAnyNumberIsTaken() {
        var random = Office.Generator(state: 9)
        let detector = Detector(context: Office.context, key0: 1, key1: 2)
        var events = Office(days: 10).events
        events.shuffle(using: &random)
        for event in events { detector.consume(event).forEach(check) }
        for sequence in [UInt64.max, 0, UInt64(Int64.max), 1, .max, .max - 1, 0] {
            var event = Office.event(Office.at(day: 11, hour: 0), "amel")
            event.sequence = sequence
            detector.consume(event).forEach(check)
        }
        #expect(detector.state.actors.count < 20)
    }

    @Test func hostileNamesAreHeldInEveryField() throws {
        let names = [
            #"\u0000\u001b]0;x\u0007\r\n"#, #"\u202e\u2066\u2028\u2029\ufeff"#, #"\"},{\""#, "\\\\", #"\ud83d\ude00"#,
            "e\u{301}\u{200d}", "", String(repeating: "é", count: 4000), String(repeating: #"\u0001"#, count: 1500),
            "null", "\u{7f}\u{85}\u{9f}", "../../etc/passwd", "%n%s", "=cmd()",
        ]
        let detector = Detector(context: InsightContext(), key0: 1, key1: 2)
        var (sequence, found) = (UInt64(0), 0)
        for day in 1...28 {
            for name in names {
                for operation in ["login", "read", "policy_write", "audit_write", "rotate", "identity_write", name] {
                    sequence += day == 27 ? 3 : 1
                    let event = try #require(
                        parse(
                            line(
                                day < 10 ? "2026-01-0\(day)T09:00:00Z" : "2026-01-\(day)T0\(day % 10):00:00Z",
                                sequence,
                                actor: name,
                                kind: sequence % 2 == 0 ? "user" : "service",
                                operation: operation,
                                path: name,
                                outcome: operation == "login" ? "denied" : "ok",
                                token: name,
                                pid: Int64(sequence % 5) - 2
                            )
                        ),
                        "\(name.prefix(40))"
                    )
                    let told = detector.consume(event)
                    told.forEach(check)
                    found += told.count
                }
            }
        }
        #expect(found > 100)
        #expect(detector.state.teamNames.allSatisfy { $0.utf8.count <= 256 })
    }

    @Test func whatIsNoTextAndWhatIsTooLongIsNoEvent() {
        let good = line("2026-01-01T09:00:00Z", 1, actor: "name")
        #expect(parse(good) != nil)
        for bytes: [UInt8] in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x80]] {
            for field in [#""id":"name"#, #""path":"p"#, #""token_accessor":"t"#, #""teams":["name"#, #""unit":"name"#]
            {
                let parts = good.split(separator: field, maxSplits: 1)
                guard parts.count == 2 else { return #expect(Bool(false), "\(field)") }
                let line = Array((parts[0] + field).utf8) + bytes + Array(parts[1].utf8)
                #expect(line.withUnsafeBytes { InsightLine.parse($0) } == nil, "\(field) \(bytes)")
            }
        }
        #expect(parse(line("2026-01-01T09:00:00Z", 1, actor: String(repeating: "n", count: 1 << 20))) == nil)
    }

    /// New names without end: the tables keep their size, and so does what is saved.
    @Test func aFloodOfEverythingIsBounded() throws {
        let detector = Detector(context: InsightContext(), key0: 1, key1: 2)
        for number in 0..<20_000 {
            var event = Office.event(
                Office.begin + Int64(number) * Span.second / 10,
                "flood-\(number)",
                [.read, .rotate, .login, .policyWrite][number % 4],
                "c\(number)",
                "x/\(number)",
                kind: number % 3 == 0 ? .user : .service,
                teams: ["team-\(number)"],
                uid: Int64(number),
                outcome: number % 4 == 2 ? .denied : .ok,
                token: "f-\(number)"
            )
            event.sequence = UInt64(number)
            _ = detector.consume(event)
        }
        let state = detector.state
        #expect(state.actors.count <= InsightState.mostActors && state.secrets.count <= InsightState.mostSecrets)
        #expect(state.tokens.count + state.olderTokens.count <= InsightState.mostTokens)
        #expect(state.sources.count <= InsightState.mostSources && state.edits.count <= InsightState.mostEdits)
        #expect(state.rotations.count <= InsightState.mostRotations && state.teamNames.count <= 64)
        #expect(state.actors[state.hash("flood-0")] == nil && state.actors[state.hash("flood-19997")] != nil)
        #expect(try Detector(restoring: detector.saved(), context: InsightContext()).saved() == detector.saved())
    }

    /// There is a place for each kind of finding in what is remembered of an identity.
    @Test func everyKindHasAPlace() {
        let actor = ActorProfile(name: "", kind: .user, at: 0)
        #expect(Set(Finding.Kind.allCases.map(\.place)) == Set(Finding.Kind.allCases.indices))
        #expect(Finding.Kind.allCases.count <= actor.told.count)
    }
}

extension InsightTime {
    fileprivate static func parse(_ text: String) -> Int64? { Array(text.utf8).withUnsafeBytes { parse($0) } }
}
