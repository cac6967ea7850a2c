import CoffreAudit
import Dispatch
import Synchronization

/// A clock that stands still until it is moved.
final class SteppedClock: LogClock {
    /// 2026-01-05T00:00:01Z, a Monday.
    static let start: Int64 = 1_767_571_201_000_000

    private let passed = Mutex<Int64>(0)
    let bootID = String(repeating: "b", count: 32)

    func pass(_ microseconds: Int64) { passed.withLock { $0 += microseconds } }
    func realMicroseconds() -> Int64 { Self.start + passed.withLock { $0 } }
    func bootMicroseconds() -> UInt64 { UInt64(passed.withLock { $0 }) }
    func monotonicNanoseconds() -> UInt64 { bootMicroseconds() * 1000 }
}

/// Writes a log as a busy vault would: through the real encoder, chain, seals and epochs, in groups, with each group synced.
struct LogGenerator {
    static let units = 50
    static let people = 200
    static let paths = 2000

    let directory: String
    let records: Int
    let weeks: Int
    /// Records of one group: they share a sync and a time.
    let groupRecords = 2048
    /// The same numbers for the same log.
    private var state: UInt64 = 0x9e37_79b9_7f4a_7c15

    init(directory: String, records: Int, weeks: Int) {
        self.directory = directory
        self.records = records
        self.weeks = weeks
    }

    static func unit(_ number: Int) -> String { "service-\(number).service" }
    static func person(_ number: Int) -> String { "s-" + String(("person" + padded(number)).suffix(22)) }

    /// - Returns: the rate of appending, in records per second of this machine's clock.
    mutating func run() throws -> Double {
        let clock = SteppedClock()
        let log = try AuditLog.open(
            AuditLogConfiguration(
                directory: directory,
                origin: "bench.example/coffre",
                softwareVersion: "bench",
                keys: .file,
                checkpointMilliseconds: nil,
                clock: clock
            )
        )
        let services = (0..<Self.units).map { number in
            AuditWho(
                kind: .service,
                sid: "s-" + String(("servic" + Self.padded(number)).suffix(22)),
                uid: UInt32(900 + number),
                gid: UInt32(900 + number),
                pid: Int32(1000 + number),
                unit: Self.unit(number),
                team: "team-\(number % 7)",
                tokenAccessor: "a-" + Self.padded(number)
            )
        }
        let people = (0..<Self.people).map { number in
            AuditWho(kind: .human, sid: Self.person(number), kernelSid: Self.person(number), pid: 4000)
        }
        let reasons = (0..<20).map { number in
            AuditWhy(policy: "policy-\(number)", policyVersion: 3, rule: number % 4, purpose: "service")
        }
        let step = Int64(weeks) * 604_800_000_000 / Int64(max(records / groupRecords, 1))
        let begin = ContinuousClock.now
        var done = 0
        while done < records {
            let count = min(groupRecords, records - done)
            let isDurable = DispatchSemaphore(value: 0)
            for number in 0..<count {
                let isLast = number == count - 1
                log.append(draft(services, people, reasons)) { result in
                    if case .failure(let error) = result { fatalError("\(error)") }
                    if isLast { isDurable.signal() }
                }
            }
            isDurable.wait()
            clock.pass(step)
            done += count
        }
        log.close()
        return Double(records) / (ContinuousClock.now - begin).seconds
    }

    private mutating func draft(_ services: [AuditWho], _ people: [AuditWho], _ reasons: [AuditWhy]) -> AuditDraft {
        let dice = next()
        // Few do much: the square of a number that is spread evenly.
        let unit = Int(dice % 1000) * Int(dice % 1000) * services.count / 1_000_000
        let path = "secret/team-\(unit % 7)/app-\(unit)/key-\(Int(dice >> 20) % (Self.paths / Self.units))"
        let isPerson = (dice >> 40) % 10 == 0
        let who = isPerson ? people[Int(dice >> 44) % people.count] : services[unit]
        var what = AuditWhat(path: path, version: 3, fields: ["password"])
        var operation = AuditOperation.secretRead
        switch (dice >> 10) % 20 {
        case 0: operation = .secretList
        case 1...4:
            operation = .leaseIssue
            what = AuditWhat(connector: "c-\(unit % 64)", path: "database/creds/app-\(unit)")
        default: break
        }
        return AuditDraft(
            operation,
            outcome: (dice >> 30) % 50 == 0 ? .denied : .granted,
            correlation: String(Self.padded(Int(dice >> 33)).suffix(16)),
            acceptedAt: 1,
            who: who,
            what: what,
            why: reasons[unit % reasons.count]
        )
    }

    /// SplitMix64.
    private mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 16 - digits.utf8.count)) + digits
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
    var milliseconds: Double { seconds * 1000 }
}
