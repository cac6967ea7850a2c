import Testing

@testable import CoffreInsight

/// Somebody whose habits nobody knows goes through everything.
struct SweepTests {
    private static func event(
        _ second: Int,
        _ operation: InsightEvent.Operation,
        _ path: String,
        _ outcome: InsightEvent.Outcome = .ok,
        hour: Int = 10
    ) -> InsightEvent {
        Office.event(
            Office.at(day: 0, hour: hour, second: second),
            "new",
            operation,
            "kv",
            path,
            uid: 1100,
            outcome: outcome,
            token: "t-new",
            pid: 6000
        )
    }

    /// Sweeps found, with the detector saved and read back after each event.
    private static func sweeps(_ events: [InsightEvent]) throws -> [Finding] {
        var detector = Detector(context: .init(), key0: 7, key1: 8)
        var found: [Finding] = []
        for (index, event) in events.enumerated() {
            var event = event
            event.sequence = UInt64(index)
            found += detector.consume(event)
            detector = try Detector(restoring: detector.saved(), context: .init())
        }
        return found.filter { $0.kind == .massEnumeration }
    }

    @Test func theTwentiethDifferentSecretIsTold() throws {
        let found = try Self.sweeps((0..<30).map { Self.event($0, .read, "a/\($0)") })
        #expect(found.count == 1 && found.first?.records == Array(9..<20))
        #expect(found.first?.english.contains("20 different secrets") == true)
        #expect(try Self.sweeps((0..<19).map { Self.event($0, .read, "a/\($0)") }).isEmpty)
    }

    @Test func theSameSecretsAgainAreNoSweep() throws {
        let polling = (0..<200).map { Self.event($0, .read, "a/\($0 % 10)") }
        #expect(try Self.sweeps(polling).isEmpty)
        let refused = (0..<200).map { Self.event($0, .read, "a/\($0 % 10)", .denied) }
        #expect(try Self.sweeps(refused).isEmpty)
    }

    @Test func refusedOnesCount() throws {
        #expect(try Self.sweeps((0..<20).map { Self.event($0, .read, "a/\($0)", .denied) }).count == 1)
    }

    /// Also when more were written than are remembered one by one.
    @Test(arguments: [20, 100])
    func whatItWroteItselfCountsWhenItIsRead(count: Int) throws {
        let writes = (0..<count).map { Self.event($0, .write, "a/\($0)") }
        #expect(try Self.sweeps(writes).isEmpty)
        let reads = (0..<count).map { Self.event($0, .read, "a/\($0)", hour: 11) }
        #expect(try Self.sweeps(writes + reads).count == 1)
        #expect(try Self.sweeps(writes + reads.prefix(19)).isEmpty)
    }

    /// Nobody makes himself familiar with what is not there.
    @Test func missingSecretsDoNotFillTheMemory() throws {
        func found(_ missing: Int) throws -> [Finding] {
            let detector = Detector(context: Office.context, key0: 7, key1: 8)
            var events = Office(days: 12).events
            for number in 0..<missing {
                events.append(
                    Office.event(
                        Office.at(day: 0, hour: 8) + Int64(number) * 40 * Span.second,
                        "badis",
                        .read,
                        "kv",
                        "none/\(number)",
                        teams: ["finance"],
                        uid: 1001,
                        outcome: .error,
                        token: "t-badis-9",
                        pid: 5001
                    )
                )
            }
            for number in 0..<60 {
                events.append(
                    Office.event(
                        Office.at(day: 10, hour: 10) + Int64(number) * 20 * Span.second,
                        "badis",
                        .read,
                        "kv",
                        "true/\(number)",
                        teams: ["finance"],
                        uid: 1001,
                        token: "t-badis-10",
                        pid: 5001
                    )
                )
            }
            events.sort { $0.time < $1.time }
            for index in events.indices { events[index].sequence = UInt64(index) }
            return events.flatMap { detector.consume($0) }.filter {
                $0.kind == .massEnumeration && $0.time >= Office.at(day: 10, hour: 10)
            }
        }
        #expect(try !found(0).isEmpty)
        #expect(try !found(4000).isEmpty)
    }

    /// The clock was far ahead, and came back: what was told then hides nothing of what comes.
    @Test func aClockThatCameBackHidesNothing() throws {
        let ahead = (0..<25).map { Self.event($0, .read, "a/\($0)", hour: 400 * 24) }
        let back = (0..<25).map { Self.event($0, .read, "b/\($0)", hour: 11) }
        #expect(try Self.sweeps(back).count == 1)
        #expect(try Self.sweeps(ahead + back).count == 2)
    }

    @Test func aDaysWorkIsNoSweep() throws {
        let day = (0..<60).map { Self.event($0 * 60, .read, "a/\($0)") }
        #expect(try Self.sweeps(day).isEmpty)
    }
}
