import CoffreTestSupport
import Foundation
import Testing

/// Whole logs against everything: every bit changed, every system call failed, three verifiers that must agree.
///
/// Longer with `COFFRE_SOAK_RECORDS` set to a number of records (`make soak`).
struct LogTortureTests {
    private static let soak = ProcessInfo.processInfo.environment["COFFRE_SOAK_RECORDS"].flatMap { Int($0) }

    /// The program that writes logs on a real disk: optimised when there is one, else as built beside the tests.
    private static func driver() throws -> String {
        let release = ProcessInfo.processInfo.environment["COFFRE_TEST_RELEASE"].map { $0 + "/coffre-log-driver" }
        if let release, FileManager.default.isExecutableFile(atPath: release) { return release }
        return try CoffredProcess.program("coffre-log-driver")
    }

    private static func script(_ name: String) -> String { PackageFolder.path + "/Tests/Scripts/" + name }

    private struct Verdict: Decodable, Equatable {
        let valid: Bool
        let records: Int
        let root: String
        let record: Int?
    }

    /// What the Swift verifier, Go and verify_log.py say of each folder.
    /// - Parameter python: for how many of the folders Python is asked, the slowest.
    private static func verdicts(
        _ folders: [String],
        environment: [String: String] = [:],
        python: Int = .max
    ) throws -> [[Verdict]] {
        let input = folders.joined(separator: "\n") + "\n"
        func run(_ program: String, _ arguments: [String], _ input: String?) throws -> (status: Int32, output: String) {
            try RunningProcess.run(program, arguments, environment: environment, input: input, timeout: 600)
        }
        let outputs = [
            try run(try driver(), ["verify"], input), try run(try GoProgram.path("verify_log"), [], input),
            try run("/usr/bin/python3", ["-I", script("verify_log.py")] + folders.prefix(python), nil),
        ]
        let found = try outputs.map { result in
            try result.output.split(separator: "\n").map { try JSONDecoder().decode(Verdict.self, from: Data($0.utf8)) }
        }
        let counts = [folders.count, folders.count, min(folders.count, python)]
        try #require(found.map(\.count) == counts, "\(outputs.map { $0.output.prefix(500) })")
        return folders.indices.map { index in found.filter { index < $0.count }.map { $0[index] } }
    }

    /// Case 1: all of 80,000 changed bits are found by each of three verifiers, which blame the same record; the one
    /// that does not parse lines may find a changed record in the one after it.
    @Test func everyBitOfALogCountsForThreeVerifiers() throws {
        let folder = try TestFolder()
        let log = folder.file("log")
        // Genesis, two epochs that have ended and one that is open, sealed segments and an open one, a checkpoint.
        let records = Self.soak ?? 3
        let options = ["records=\(records)", "days=3", "checkpoint=1", "abandon=1"]
        #expect(try RunningProcess.run(try Self.driver(), ["run", log] + options, timeout: 300).status == 0)
        let programs = [
            [try Self.driver(), "flip", log], ["/usr/bin/python3", Self.script("mutate_log.py"), log],
            [try GoProgram.path("verify_log"), "flip", log],
        ]
        let running = try programs.map { try RunningProcess($0[0], Array($0.dropFirst())) }
        var outputs: [[Substring]] = []
        for process in running {
            #expect(try process.wait(timeout: Self.soak == nil ? 900 : 86_400) == 0)
            process.drain()
            outputs.append(process.output.split(separator: "\n"))
        }
        let (ours, python, go) = (outputs[0], outputs[1], outputs[2])
        try #require(ours.count > 60_000 && python.count == ours.count && go.count == ours.count, "\(ours.suffix(1))")
        var survivors: [Substring] = []
        var disputes: [String] = []
        for index in ours.indices {
            if ours[index].hasSuffix("-") || go[index].hasSuffix("-") { survivors.append(ours[index]) }
            if ours[index] != python[index] { disputes.append("\(ours[index]) | \(python[index])") }
            let (one, other) = (ours[index].split(separator: " "), go[index].split(separator: " "))
            let isNext = Int(one[2]).map { String($0 + 1)[...] == other[2] } ?? false
            if one[..<2] != other[..<2] || !(one[2] == other[2] || isNext) { disputes.append("\(one) | \(other)") }
        }
        #expect(survivors.isEmpty, "\(survivors.prefix(3))")
        #expect(disputes.isEmpty, "\(disputes.count): \(disputes.prefix(3))")
    }

    /// Cases 18 and 20 with the real program: each occurrence of each system call fails, or is the last one.
    @Test func everySystemCallThatFailsLeavesALogThatGoesOn() throws {
        let folder = try TestFolder()
        // Syncs cost nothing in memory, and what was written stays after a kill as it does on a disk.
        let memory = "/dev/shm/coffre-calls-\(getpid())"
        let isThere =
            (try? FileManager.default.createDirectory(atPath: memory, withIntermediateDirectories: true)) != nil
        defer { try? FileManager.default.removeItem(atPath: memory) }
        let place = isThere ? memory : folder.file("calls")
        let arguments = [try Self.driver(), try GoProgram.path("verify_log"), place, "workers=3"]
        let more = Self.soak == nil ? [] : ["all=1"]
        let result = try RunningProcess.run(
            "/usr/bin/python3",
            [Self.script("fail_calls.py")] + arguments + more,
            timeout: Self.soak == nil ? 900 : 7200
        )
        #expect(result.status == 0, "\(result.output)")
        let line = try #require(result.output.split(separator: "\n").last)
        let report = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        let calls = report?["calls"] as? [String: Int] ?? [:]
        #expect(report?["tried"] as? Int ?? 0 > 1000)
        for name in [
            "pwrite64", "fdatasync", "fsync", "renameat", "ftruncate", "unlinkat", "mkdirat", "openat2", "close",
        ] {
            #expect(calls[name] ?? 0 > 0, "\(name) does not occur")
        }
    }

    /// A log with one full tile: three verifiers hold it to the records.
    @Test func aTileIsHeldToTheRecordsByThreeVerifiers() throws {
        let folder = try TestFolder()
        let log = folder.file("log")
        let options = ["records=65600", "wave=2000", "segment=9000000", "tiles=20"]
        let made = try RunningProcess.run(try Self.driver(), ["run", log] + options, timeout: 300)
        #expect(made.status == 0, "\(made.output.suffix(300))")
        let tile = log + "/tree/1/000"
        let right = try #require(FileManager.default.contents(atPath: tile))
        #expect(right.count == 8192)
        // Copies share the segments: each has a tree of its own.
        let changes: [(String, (String) throws -> Void)] = [
            ("unchanged", { _ in }), ("last bit", { try Self.change($0 + "/1/000") { $0[8191] ^= 0x80 } }),
            ("another spelling", { try FileManager.default.copyItem(atPath: $0 + "/1/000", toPath: $0 + "/1/0000") }),
            ("missing", { try FileManager.default.removeItem(atPath: $0 + "/1/000") }),
            ("first bit", { try Self.change($0 + "/1/000") { $0[0] ^= 1 } }),
            ("short", { try Self.change($0 + "/1/000") { $0.removeLast() } }),
            ("long", { try Self.change($0 + "/1/000") { $0.append(0) } }),
            ("not there yet", { try FileManager.default.copyItem(atPath: $0 + "/1/000", toPath: $0 + "/1/001") }),
            (
                "too high",
                { folder in
                    try FileManager.default.createDirectory(atPath: folder + "/2", withIntermediateDirectories: true)
                    try FileManager.default.copyItem(atPath: folder + "/1/000", toPath: folder + "/2/000")
                }
            ),
            ("foreign", { try Data([1]).write(to: URL(fileURLWithPath: $0 + "/1/notes.txt")) }),
        ]
        var copies: [String] = []
        for (index, (_, change)) in changes.enumerated() {
            let copy = folder.file("copy-\(index)")
            try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: false)
            for name in ["log.vkey", "checkpoint"] {
                try FileManager.default.copyItem(atPath: log + "/" + name, toPath: copy + "/" + name)
            }
            #expect(try RunningProcess.run("/bin/cp", ["-al", log + "/seg", copy + "/seg"]).status == 0)
            try FileManager.default.copyItem(atPath: log + "/tree", toPath: copy + "/tree")
            try change(copy + "/tree")
            copies.append(copy)
        }
        let verdicts = try Self.verdicts(copies, python: 3)
        for ((name, _), verdicts) in zip(changes, verdicts) {
            let isRight = ["unchanged", "missing"].contains(name)
            #expect(verdicts.allSatisfy { $0.valid == isRight }, "\(name): \(verdicts)")
            #expect(Set(verdicts.map(\.record)).count == 1, "\(name): \(verdicts)")
            #expect(Set(verdicts.map(\.root)).count == 1, "\(name): \(verdicts)")
        }
    }

    /// Case 23: a writer that was stopped while another took its place finds out before it acknowledges anything.
    @Test func aWriterThatWakesUpAfterATakeoverAcknowledgesNothing() throws {
        let folder = try TestFolder()
        let log = folder.file("log")
        let program = try Self.driver()
        let script = """
            import os, subprocess, sys
            driver, log = sys.argv[1:]
            old = subprocess.Popen([driver, "run", log, "records=3", "wait=1"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert old.stdout.readline() == "ready\\n"
            old.stdin.write("\\n"); old.stdin.flush()
            assert old.stdout.readline() == "open\\n"
            second = subprocess.run([driver, "run", log, "records=1"], capture_output=True, text=True)
            assert second.returncode == 74 and "another process" in second.stderr, second
            os.unlink(log + "/lock")
            third = subprocess.run([driver, "run", log, "records=2"], capture_output=True, text=True)
            assert third.returncode == 0 and third.stdout.count("ack") == 2, third
            rest, error = old.communicate("\\n\\n")
            assert "ack" not in rest and old.returncode == 75, (rest, error)
            print("refused")
            """
        let result = try RunningProcess.run("/usr/bin/python3", ["-c", script, program, log], timeout: 120)
        #expect(result.output == "refused\n", "\(result.output)")
    }

    /// Case 21: many clients at once, and in the trace of all system calls no answer before its batch is synced.
    @Test func noAnswerOvertakesTheSyncOfItsBatch() throws {
        let folder = try TestFolder("order")
        let trace = folder.file("trace")
        var setup = CoffredProcess.Setup()
        setup.launcher = [
            "strace", "-f", "-qq", "-s", "2000000", "-o", trace, "-e",
            "trace=write,writev,pwrite64,sendto,sendmsg,fdatasync",
        ]
        let (daemon, root) = try CoffredProcess.unsealed(setup)
        let canary = "secret-\(UUID().uuidString)"
        let reads = Self.soak.map { $0 * 100 } ?? 150
        let clients = (0..<8).map { number -> @Sendable () throws -> Int in
            {
                let path = "secret/data/order/\(number)"
                let body = #"{"data":{"v":"\#(canary)-\#(number)-"}}"#
                var client = try UnixHTTP(daemon.socket)
                defer { client.close() }
                guard try client.request("POST", path, token: root, body: body).status == 200 else { return 0 }
                var count = 0
                for _ in 0..<reads where try client.request("GET", path, token: root).status == 200 { count += 1 }
                return count
            }
        }
        #expect(try onThreads(clients) == [Int](repeating: reads, count: 8))
        try daemon.stop()
        let check = ["/usr/bin/python3", Self.script("check_order.py")]
        let result = try RunningProcess.run(check[0], [check[1], trace, canary], timeout: 300)
        let report = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Int]
        #expect(result.status == 0 && report?["answers"] == 8 * reads, "\(result.output)")
        // It would have seen one: without the syncs every answer is early.
        let lines = try String(contentsOfFile: trace, encoding: .utf8).components(separatedBy: "\n")
        let without = lines.filter { !$0.contains("fdatasync") }.joined(separator: "\n")
        try Data(without.utf8).write(to: URL(fileURLWithPath: trace))
        let blind = try RunningProcess.run(check[0], [check[1], trace, canary], timeout: 300)
        #expect(blind.status == 1 && blind.output.contains("0 records are durable"), "\(blind.output)")
    }

    /// Case 36: another time zone, language and folder, and no network.
    @Test func theVerdictIsTheSameAnywhere() throws {
        let folder = try TestFolder()
        let logs = ["right", "wrong"].map { folder.file($0) }
        for log in logs {
            #expect(try RunningProcess.run(try Self.driver(), ["run", log, "records=3", "days=3"]).status == 0)
        }
        try Self.change(logs[1] + "/checkpoint") { $0[60] ^= 1 }
        let here = try Self.verdicts(logs)
        let elsewhere = [
            "TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8", "LANG": "ar_DZ.UTF-8", "PYTHONHASHSEED": "7",
            "http_proxy": "http://192.0.2.1:9",
        ]
        let there = try Self.verdicts(logs, environment: elsewhere)
        #expect(here == there)
        #expect(here[0].allSatisfy(\.valid) && !here[1].contains(where: \.valid))
        // Nothing but the loopback of an empty network.
        let alone = ["--net", "--map-root-user", "/bin/sh", "-c", "cd / && exec \"$0\" -I \"$1\" \"$2\""]
        let script = Self.script("verify_log.py")
        let offline = try RunningProcess.run("/usr/bin/unshare", alone + ["/usr/bin/python3", script, logs[0]])
        #expect(offline.status == 0 && offline.output.contains(here[0][2].root), "\(offline.output)")
    }

    private static func change(_ path: String, _ body: (inout Data) -> Void) throws {
        var data = try #require(FileManager.default.contents(atPath: path))
        body(&data)
        try data.write(to: URL(fileURLWithPath: path))
    }
}
