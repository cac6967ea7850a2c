import CoffreAudit
import Glibc
import Synchronization

/// Writes logs on a real disk as a daemon would, with a clock that days pass on, and verifies them: for tests that fail
/// system calls under a real process, or need many folders verified by one.
///
/// usage: coffre-log-driver run FOLDER [records=N] [wave=N] [days=N] [segment=BYTES] [pad=BYTES] [start=DAY] [wait=1] [tiles=MS]
///            [checkpoint=MS] [abandon=1] [months=N] [leap=DAYS] [hold=DAY] [tidy=1]
///        coffre-log-driver verify            folders on standard input, one JSON object for each on standard output
///        coffre-log-driver flip FOLDER       changes every bit of a log in memory and says what is found
///
/// In the second half `leap` days pass instead of one. With `tidy=1` the log is compressed at the end, and pruned: what is older than `months`, but for the day `hold` after the
/// first.
///
/// `run` prints `ack INDEX PATH` for each record once it is durable. With `wait=1` it prints `ready` before it opens the
/// log, `open` before it appends and `done` before it closes, and each time goes on after a line on standard input.
@main struct Driver {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        switch arguments.first {
        case "run":
            guard let folder = arguments.dropFirst().first else { fail("a folder is missing", 64) }
            run(folder, Options(arguments.dropFirst(2)))
        case "verify": verify()
        case "flip":
            guard let folder = arguments.dropFirst().first else { fail("a folder is missing", 64) }
            flip(folder)
        default: fail("usage: coffre-log-driver run FOLDER [name=value]... | verify | flip FOLDER", 64)
        }
    }

    struct Options {
        private var values: [String: Int] = [:]

        init(_ arguments: some Sequence<String>) {
            for argument in arguments {
                let parts = argument.split(separator: "=", maxSplits: 1)
                guard parts.count == 2, let value = Int(parts[1]) else { fail("not name=number: \(argument)", 64) }
                values[String(parts[0])] = value
            }
        }

        func number(_ name: String, _ standard: Int) -> Int { values[name] ?? standard }
    }

    private static func run(_ folder: String, _ options: Options) {
        let clock = DriverClock(day: options.number("start", 20_780))
        let (count, days) = (options.number("records", 12), options.number("days", 1))
        let (wave, isWaiting) = (options.number("wave", 1), options.number("wait", 0) == 1)
        if isWaiting { pause("ready") }
        let configuration = AuditLogConfiguration(
            directory: folder,
            origin: "driver.example/coffre",
            softwareVersion: "1.0.0",
            keys: .file,
            segmentBytes: options.number("segment", 67_108_864),
            retentionMonths: options.number("months", 24),
            // Checkpoints at seals alone, so that the calls of two runs are the same.
            checkpointMilliseconds: options.number("checkpoint", 0) == 0 ? nil : options.number("checkpoint", 0),
            clock: clock,
            tileMilliseconds: options.number("tiles", 0) == 0 ? nil : options.number("tiles", 0)
        )
        do throws(AuditError) {
            let log = try AuditLog.open(configuration)
            if isWaiting { pause("open") }
            let writer = Writer(log, padding: options.number("pad", 0))
            for number in 0..<count {
                if number > 0, number % max(1, count / days) == 0 {
                    writer.wait(for: 0)
                    clock.pass(days: number >= count / 2 ? options.number("leap", 1) : 1)
                }
                writer.append("driver/\(options.number("start", 0))/\(number)")
                writer.wait(for: wave - 1)
            }
            writer.wait(for: 0)
            if isWaiting { pause("done") }
            if options.number("tidy", 0) == 1 { try tidy(log, options) }
            awaitTiles(log, folder, options)
            if options.number("abandon", 0) == 1 {
                // As a killed daemon leaves it: the last segment is open, and the checkpoint covers it.
                while log.health.checkpointSize < log.health.size { usleep(1000) }
                _exit(0)
            }
            log.close()
            if let failure = writer.failure { fail(failure.message, 75) }
        } catch {
            fail(error.message, 74)
        }
    }

    private static func tidy(_ log: AuditLog, _ options: Options) throws(AuditError) {
        let who = AuditWho(kind: .admin, sid: "s-officer", uid: 0, gid: 0, pid: 1)
        func draft(_ operation: AuditOperation, _ details: [AuditWhat.Detail]) -> AuditDraft {
            AuditDraft(
                operation,
                outcome: .granted,
                correlation: "0123456789abcdef",
                acceptedAt: 1,
                who: who,
                what: AuditWhat(details: details)
            )
        }
        let day = options.number("hold", -1)
        if day >= 0 {
            let since = Int64(options.number("start", 20_780) + day) * 86_400_000_000
            let scope = LegalHold.Scope.range(since: since, until: since + 86_400_000_000)
            let details = LegalHold.details(scope, id: "h-driver000001", reason: "a claim", review: "2027-06-30")
            _ = try log.setHold(draft(.holdSet, details))
        }
        try log.compress()
        let report = try log.prune(isDry: false, approver: nil) { draft(.prune, $0) }
        say("pruned \(report.pruned.count) held \(report.held.count)")
    }

    /// With `tiles=MILLISECONDS`: until the newest tile is on the disk.
    private static func awaitTiles(_ log: AuditLog, _ folder: String, _ options: Options) {
        let full = log.health.size >> 16
        guard options.number("tiles", 0) > 0, full > 0, full < 1000 else { return }
        let digits = String(full - 1)
        let path = "\(folder)/tree/1/\(String(repeating: "0", count: 3 - digits.utf8.count))\(digits)"
        while access(path, F_OK) != 0, log.health.treeFailure == nil { usleep(10_000) }
    }

    private static func verify() {
        while let folder = readLine() {
            var line: String
            do throws(AuditError) {
                let report = try LogVerifier(directory: folder).verify()
                let finding = report.findings.first
                line = "{\"valid\":\(report.isValid),\"records\":\(report.records),\"root\":\"\(report.rootHash)\","
                line += "\"record\":\(finding?.record.map { "\($0)" } ?? "null"),"
                line += "\"reason\":\"\(finding.map { plain("\($0.file): \($0.reason)") } ?? "")\"}"
            } catch {
                line =
                    "{\"valid\":false,\"records\":0,\"root\":\"\",\"record\":null,\"reason\":\"\(plain(error.message))\"}"
            }
            say(line)
        }
    }

    private static func plain(_ text: String) -> String { String(text.filter { $0 != "\"" && $0 != "\\" }) }

    private static func pause(_ word: String) {
        say(word)
        _ = readLine()
    }

    static func say(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    static func fail(_ message: String, _ status: Int32) -> Never {
        let bytes = Array("\(message)\n".utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
        exit(status)
    }
}

/// Appends, and says which records are durable.
final class Writer: Sendable {
    private struct State {
        var waiting = 0
        var failure: AuditError?
    }

    private let log: AuditLog
    private let padding: String
    private let state = Mutex(State())
    /// A byte for each record that is done: whoever waits makes no other system calls.
    private let done: (reading: Int32, writing: Int32)

    init(_ log: AuditLog, padding: Int) {
        self.log = log
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { Driver.fail("no pipe", 71) }
        done = (ends[0], ends[1])
        self.padding = String(repeating: "x", count: padding)
    }

    var failure: AuditError? { state.withLock(\.failure) }

    func append(_ path: String) {
        state.withLock { $0.waiting += 1 }
        let draft = AuditDraft(
            .secretRead,
            outcome: .granted,
            correlation: "0123456789abcdef",
            acceptedAt: 1,
            who: AuditWho(kind: .service, sid: "s-0123456789abcdefghijkl", uid: 988, gid: 988, unit: "payroll.service"),
            what: AuditWhat(connector: "c-1", path: path + padding, version: 12, fields: ["password"])
        )
        log.append(draft) { result in
            switch result {
            case .success(let receipt): Driver.say("ack \(receipt.index) \(path)")
            case .failure(let error): self.state.withLock { $0.failure = error }
            }
            self.state.withLock { $0.waiting -= 1 }
            var byte: UInt8 = 0
            _ = Glibc.write(self.done.writing, &byte, 1)
        }
    }

    /// Returns when at most `count` records wait for the disk.
    func wait(for count: Int) {
        var byte: UInt8 = 0
        while state.withLock({ $0.waiting > count }) { _ = read(done.reading, &byte, 1) }
    }
}

/// A clock that moves one millisecond at each look, and a day when told to.
final class DriverClock: LogClock {
    private let now: Mutex<Int64>
    let bootID = "00112233445566778899aabbccddeeff"

    /// - Parameter day: days since 1970.
    init(day: Int) { now = Mutex(Int64(day) * 86_400_000_000 + 40_000_000_000) }

    func pass(days: Int) { now.withLock { $0 += Int64(days) * 86_400_000_000 } }

    func realMicroseconds() -> Int64 {
        now.withLock { now in
            now += 1000
            return now
        }
    }

    func bootMicroseconds() -> UInt64 { UInt64(now.withLock { $0 }) }
    func monotonicNanoseconds() -> UInt64 { bootMicroseconds() * 1000 }
}
