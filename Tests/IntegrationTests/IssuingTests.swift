import CoffreTestSupport
import CoffreWire
import Foundation
import Glibc
import Testing

/// `database/creds` through every process, with either process killed at each point of the order of issuing.
@Suite(.serialized)
struct IssuingTests {
    @Test func aDaemonKilledAtAnyFrameLeavesNoOrphan() throws {
        let stage = try DatabaseStage()
        try stage.role("short", ttl: "6s")
        for point in DatabaseStage.Point.allCases {
            stage.kill(at: point) { try? stage.vault.kill() }
            let answer = stage.issue("short")
            #expect(answer.login == nil, "\(point)")
            try eventually("coffred is dead at \(point)") { !stage.vault.isRunning }
            try stage.recover()
            // Only a login whose lease became active may still be there, and then a lease speaks for it.
            try eventually("the orphan of \(point) is gone") {
                try everyLoginHasALease(stage)
            }
        }
        try eventually(within: 30, "what became active ended at its time") { try stage.logins().isEmpty }
        let login = try stage.issued()
        #expect(stage.works(login))
        try stage.vault.verifyLog()
    }

    /// The sync at which coffred dies counts from the request: audit intent, lease row, job key, and so on.
    @Test func aDaemonKilledAtAnySyncLeavesNoOrphan() throws {
        let stage = try DatabaseStage()
        try stage.role("short", ttl: "4s")
        var died = 0
        for number in 1...7 {
            let tracer = try RunningProcess(
                "/usr/bin/strace",
                [
                    "-f", "-qq", "-p", "\(stage.vault.pid)", "-e", "trace=fdatasync,fsync", "-e",
                    "inject=fdatasync,fsync:signal=SIGKILL:when=\(number)", "-o", "/dev/null",
                ]
            )
            try eventually("strace has attached to coffred") { try Self.isTraced(stage.vault.pid) }
            let (login, _) = stage.issue("short")
            if let login {
                #expect(stage.works(login))
                tracer.signal(SIGINT)
            } else {
                try eventually("coffred is dead at sync \(number)") { !stage.vault.isRunning }
                died += 1
            }
            _ = try? tracer.wait(timeout: 10)
            try stage.recover()
        }
        #expect(died >= 3)
        // Leases that became active die at their time, those that did not died at the start.
        try eventually(within: 30, "every login is gone") { try stage.logins().isEmpty }
        try stage.vault.verifyLog()
    }

    @Test func aBrokerKilledAtAnyFrameLeavesNoOrphan() throws {
        let stage = try DatabaseStage()
        for point in DatabaseStage.Point.allCases {
            stage.kill(at: point) { stage.killBroker() }
            let (login, status) = stage.issue()
            if let login {
                // It died after its answer: what was answered must work.
                #expect(stage.works(login), "\(point)")
            } else {
                #expect(status == 502, "\(point): \(status)")
            }
            try stage.recover()
            try eventually(within: 30, "the orphan of \(point) is gone") {
                try everyLoginHasALease(stage)
            }
            if let login { try stage.write("sys/leases/revoke", ["lease_id": login.lease, "sync": true]) }
        }
        try eventually(within: 30, "no login is left") { try stage.logins().isEmpty }
        #expect(stage.works(try stage.issued()))
    }

    @Test func aBrokerThatLiesIsNotBelieved() throws {
        let stage = try DatabaseStage()
        let lies: [(String, @Sendable ([UInt8]) -> [[UInt8]])] = [
            ("garbage for a body", { [Array($0.prefix(22)) + [UInt8](repeating: 0xa5, count: $0.count - 22)] }),
            ("no frame at all", { _ in [[0xff, 0xff, 0xff, 0xff, 9, 9]] }),
            ("a frame of another version", { [Array($0.prefix(4)) + [2] + $0.dropFirst(5)] }),
            (
                "an answer that says that the job is unknown",
                { [[0, 0, 0, 18, 1, BrokerFrame.Kind.gone.rawValue] + $0[6..<22]] }
            ),
        ]
        for (what, lie) in lies {
            let once = Once()
            stage.gate.watch { kind, _, frame in kind == .answer && once.isFirst ? lie(frame) : [frame] }
            let (login, status) = stage.issue()
            #expect(login == nil && status == 502, "\(what): \(status)")
            stage.gate.open()
            try eventually(within: 30, "what was made behind \(what) is gone") { try stage.logins().isEmpty }
            // The next lie must not meet the answer of this revocation.
            try eventually(within: 30, "its lease is over") {
                try stage.vault.request("LIST", "sys/leases/lookup/database/creds/app", token: stage.root).status == 404
            }
        }
        // Twice the same answer, and one that nobody asked for: dropped, and the line goes on.
        stage.gate.watch { kind, _, frame in
            guard kind == .answer else { return [frame] }
            let stray = Array(frame.prefix(6)) + [UInt8](repeating: 7, count: 16) + frame.dropFirst(22)
            return [stray, frame, frame]
        }
        for _ in 0..<3 { #expect(stage.works(try stage.issued())) }
    }

    @Test func aLeaseIsRenewedRevokedAndEndsWithItsSessions() throws {
        let stage = try DatabaseStage()
        let login = try stage.issued()
        #expect(stage.works(login))
        let looked = try stage.vault.request(
            "PUT",
            "sys/leases/lookup",
            token: stage.root,
            body: #"{"lease_id":"\#(login.lease)"}"#
        )
        #expect(looked.data["id"] as? String == login.lease)
        #expect((looked.data["ttl"] as? Int ?? 0) > 3500)
        let renewed = try stage.vault.request(
            "PUT",
            "sys/leases/renew",
            token: stage.root,
            body: #"{"lease_id":"\#(login.lease)","increment":7200}"#
        )
        #expect((renewed.json["lease_duration"] as? Int ?? 0) > 7000, "\(renewed.text)")
        let session = try stage.server.session("SELECT pg_sleep(60)", as: (login.user, login.password))
        try eventually("the session is open") {
            try stage.server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '\(login.user)'") == "1"
        }
        try stage.write("sys/leases/revoke", ["lease_id": login.lease])
        try eventually("the login is gone") { try stage.logins().isEmpty }
        #expect(try session.wait(timeout: 10) != 0)
        #expect(!stage.works(login))
        // What is already gone is revoked too.
        let other = try stage.issued()
        try stage.server.sql("DROP OWNED BY \(other.user); DROP ROLE \(other.user)")
        try stage.write("sys/leases/revoke", ["lease_id": other.lease])
        // The password is in no log: neither the server's nor ours, and not on disk.
        #expect(!stage.server.log.contains(login.password))
        #expect(!stage.vault.output.contains(login.password))
        #expect(!stage.server.log.contains(stage.server.password))
    }

    @Test func leasesEndAtTheirTimeAndWithTheirToken() throws {
        let stage = try DatabaseStage()
        try stage.role("brief", ttl: "2s")
        let brief = try stage.issued("brief")
        #expect(stage.works(brief))
        try eventually("a lease of two seconds is over") { try stage.logins().isEmpty }

        let policy = #"path "database/creds/app" { capabilities = ["read"] }"#
        let token = try stage.vault.token(policy: policy, named: "app", root: stage.root)
        let answer = try stage.vault.request("GET", "database/creds/app", token: token)
        #expect(answer.status == 200)
        #expect(try stage.logins().count == 1)
        _ = try stage.vault.request("POST", "auth/token/revoke-self", token: token)
        try eventually("the leases of a revoked token are over") { try stage.logins().isEmpty }
        #expect(try stage.vault.request("GET", "database/creds/app", token: token).status == 403)
    }

    /// A statement that fails half way leaves nothing, and the error names the state, not the statement.
    @Test func aFailingStatementLeavesNothing() throws {
        let stage = try DatabaseStage()
        try stage.role("broken", ttl: "1h", creation: DatabaseStage.creation + " GRANT nosuchrole TO \"{{name}}\";")
        let answer = try stage.vault.request("GET", "database/creds/broken", token: stage.root)
        #expect(answer.status == 400, "\(answer.text)")
        #expect(answer.text.contains("42704"), "\(answer.text)")
        try eventually("nothing is left") { try stage.logins().isEmpty }
    }

    /// Whether there are no more logins than live leases. The log names leases but no logins, so they are counted.
    private func everyLoginHasALease(_ stage: DatabaseStage) throws -> Bool {
        let known = Set(
            try stage.vault.records().compactMap { ($0["what"] as? [String: Any])?["lease"] as? String }
        )
        let live = try known.filter { lease in
            let body = #"{"lease_id":"\#(lease)"}"#
            return try stage.vault.request("PUT", "sys/leases/lookup", token: stage.root, body: body).status == 200
        }
        return try stage.logins().count <= live.count
    }

    private static func isTraced(_ pid: Int32) throws -> Bool {
        let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")
        return tasks.allSatisfy { task in
            let status = (try? String(contentsOfFile: "/proc/\(pid)/task/\(task)/status", encoding: .utf8)) ?? ""
            return !status.contains("TracerPid:\t0\n")
        }
    }
}

/// True once.
final class Once: @unchecked Sendable {  // Guarded by the lock.
    private let lock = NSLock()
    private var used = false

    var isFirst: Bool {
        lock.withLock {
            defer { used = true }
            return !used
        }
    }
}
