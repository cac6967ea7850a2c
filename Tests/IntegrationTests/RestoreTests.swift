import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Foundation
import Glibc
import Testing

/// Older databases put back, and what is done before they serve.
@Suite(.serialized)
struct RestoreTests {
    private func accessor(_ token: String, _ vault: CoffredProcess) throws -> String {
        try #require(try vault.request("GET", "auth/token/lookup-self", token: token).data["accessor"] as? String)
    }

    @Test func whatWasRevokedSinceStaysRevoked() throws {
        let stage = try BackupStage()
        let (vault, root) = (stage.vault, stage.root)
        _ = try vault.request("POST", "secret/data/old", token: root, body: #"{"data":{"k":"v"}}"#)
        let tokens = try (0..<4).map { _ in try vault.token(policies: ["default"], root: root) }
        let child = try vault.token(
            policy: #"path "auth/token/create" { capabilities = ["update"] }"#,
            named: "maker",
            root: root
        )
        let grandchild = try vault.token(policies: ["default"], root: child)
        let kept = try accessor(tokens[3], vault)
        let snapshot = try stage.backup()

        let first = try vault.request("POST", "auth/token/revoke", token: root, body: #"{"token":"\#(tokens[0])"}"#)
        #expect(first.status == 204)
        #expect(try vault.request("POST", "auth/token/revoke-self", token: tokens[1]).status == 204)
        let body = #"{"accessor":"\#(try accessor(tokens[2], vault))"}"#
        #expect(try vault.request("POST", "auth/token/revoke-accessor", token: root, body: body).status == 204)
        #expect(
            try vault.request("POST", "auth/token/revoke", token: root, body: #"{"token":"\#(child)"}"#).status == 204
        )
        // Made and revoked after the snapshot: nothing to do for it.
        let late = try vault.token(policies: ["default"], root: root)
        #expect(try vault.request("POST", "auth/token/revoke-self", token: late).status == 204)
        _ = try vault.request("POST", "secret/data/new", token: root, body: #"{"data":{}}"#)

        try stage.restore(snapshot)
        for token in tokens + [grandchild, root] {
            #expect(try vault.request("GET", "auth/token/lookup-self", token: token).status == 503)
        }
        #expect(try vault.request("POST", "auth/peer/login").status == 503)
        #expect(try vault.request("GET", "sys/health").status == 503)
        let status = try vault.request("GET", "sys/restore/status").data
        #expect(status["hold"] as? Bool == true)
        #expect(status["same_log"] as? Bool == true)
        #expect(status["revoked_since_total"] as? Int == 5)
        #expect(status["to_revoke_total"] as? Int == 4)
        let changes = try #require(status["newer_changes"] as? [String: Any])
        #expect(changes["token.revoke"] as? Int == 5)
        #expect(changes["secret.write"] as? Int == 1)
        let listed = try #require(status["to_revoke"] as? [[String: Any]]).compactMap { $0["accessor"] as? String }
        #expect(!listed.contains(kept) && listed.count == 4)
        #expect(try stage.coffre(["operator", "restore-status"]).output.contains(listed[0]))

        #expect(try stage.coffre(["operator", "restore-confirm"]).status == 0)
        for token in tokens.prefix(3) + [child, grandchild, late] {
            #expect(try vault.request("GET", "auth/token/lookup-self", token: token).status == 403)
        }
        #expect(try vault.request("GET", "auth/token/lookup-self", token: tokens[3]).status == 200)
        #expect(try vault.request("GET", "secret/data/old", token: root).status == 200)
        #expect(try vault.request("GET", "secret/data/new", token: root).status == 404)
        #expect(try vault.request("GET", "sys/restore/status").data["hold"] as? Bool == false)
        #expect(try vault.request("PUT", "sys/restore/confirm").status == 400)
        try vault.restart()
        #expect(try vault.request("GET", "sys/health").status == 200)
        #expect(try vault.request("GET", "auth/token/lookup-self", token: tokens[0]).status == 403)
        try vault.stop()
        try vault.verifyLog()
        let names = try FileManager.default.contentsOfDirectory(atPath: vault.stateFolder)
        #expect(names.filter { $0.hasPrefix("coffre.db.before-restore-") }.count == 1)
    }

    @Test func aLeaseThatWasRevokedIsRevokedAgainInTheDatabaseToo() throws {
        let stage = try DatabaseStage()
        let vault = stage.vault
        let files = try TestFolder("b")
        let token = try files.write("token", stage.root)
        let (kept, revoked) = (try stage.issued(), try stage.issued())
        let snapshot = files.file("snapshot.tar")
        func coffre(_ arguments: [String]) throws -> (status: Int32, output: String) {
            let environment = ["COFFRE_SOCKET": vault.socket, "COFFRE_TOKEN_FILE": token, "LC_ALL": "C"]
            return try RunningProcess.run(try CoffredProcess.program("coffre"), arguments, environment: environment)
        }
        #expect(try coffre(["operator", "backup", snapshot]).status == 0)
        // The broker is away: the wish to revoke is durable, the login is still there.
        stage.killBroker()
        let body = #"{"lease_id":"\#(revoked.lease)"}"#
        let answer = try vault.request("PUT", "sys/leases/revoke", token: stage.root, body: body)
        #expect(answer.status >= 500, "\(answer.text)")
        #expect(stage.works(revoked))
        try vault.stop()
        #expect(try coffre(["operator", "restore", "--state-directory", vault.stateFolder, snapshot]).status == 0)
        try stage.recover()
        let status = try vault.request("GET", "sys/restore/status").data
        let listed = try #require(status["to_revoke"] as? [[String: Any]])
        #expect(listed.compactMap { $0["lease_id"] as? String } == [revoked.lease])
        #expect(stage.works(revoked), "nothing is revoked while it holds")
        #expect(try coffre(["operator", "restore-confirm"]).status == 0)
        try eventually(within: 30, "the login is gone") { !stage.works(revoked) }
        #expect(stage.works(kept))
        try vault.verifyLog()
    }

    @Test func aDatabaseCopiedByHandIsHeldAndItsRevocationsAreFound() throws {
        let stage = try BackupStage()
        let (vault, root) = (stage.vault, stage.root)
        let token = try vault.token(policies: ["default"], root: root)
        try vault.stop()
        let copy = stage.files.file("copy")
        try FileManager.default.copyItem(atPath: vault.stateFolder, toPath: copy)
        try vault.start()
        try vault.unseal()
        #expect(
            try vault.request("POST", "auth/token/revoke", token: root, body: #"{"token":"\#(token)"}"#).status == 204
        )
        try vault.stop()
        try FileManager.default.removeItem(atPath: vault.stateFolder)
        try FileManager.default.moveItem(atPath: copy, toPath: vault.stateFolder)
        try vault.start()
        try vault.unseal()
        let status = try vault.request("GET", "sys/restore/status").data
        #expect(status["to_revoke_total"] as? Int == 1)
        #expect(status["same_log"] is NSNull)
        #expect(try vault.request("PUT", "sys/restore/confirm").status == 204)
        #expect(try vault.request("GET", "auth/token/lookup-self", token: token).status == 403)
    }

    @Test func aCrashDuringTheConfirmationIsStillHeld() throws {
        let stage = try BackupStage()
        let (vault, root) = (stage.vault, stage.root)
        let tokens = try (0..<300).map { _ in try vault.token(policies: ["default"], root: root) }
        let snapshot = try stage.backup()
        for token in tokens { _ = try vault.request("POST", "auth/token/revoke-self", token: token) }
        try stage.restore(snapshot)
        let confirming: @Sendable () throws -> Void = { _ = try? vault.request("PUT", "sys/restore/confirm") }
        let killer: @Sendable () throws -> Void = {
            try eventually("revocations are on their way") {
                try vault.records().contains { record in
                    let what = record["what"] as? [String: Any]
                    return (what?["det"] as? [String: Any])?["reason"] as? String == "restore"
                }
            }
            try vault.kill()
        }
        _ = try onThreads([confirming, killer])
        let isDone = try vault.records().contains { record in
            (record["what"] as? [String: Any])?["op"] as? String == "restore.confirm"
                && record["ph"] as? String == "outcome"
        }
        try vault.start()
        try vault.unseal()
        if !isDone {
            #expect(try vault.request("GET", "sys/restore/status").data["hold"] as? Bool == true)
            #expect(try vault.request("GET", "auth/token/lookup-self", token: tokens[299]).status == 503)
            #expect(try vault.request("PUT", "sys/restore/confirm").status == 204)
        }
        for token in tokens {
            #expect(try vault.request("GET", "auth/token/lookup-self", token: token).status == 403)
        }
        #expect(try vault.request("GET", "sys/mounts", token: root).status == 200)
    }

    /// Killed at its n-th call that changes the folder, for every n, until one comes through.
    @Test(arguments: ["rename,renameat2", "fsync,fdatasync", "pwrite64,write", "unlink"])
    func aRestoreKilledAtAnyStepLeavesAWholeDatabase(calls: String) throws {
        let stage = try BackupStage()
        let (vault, root) = (stage.vault, stage.root)
        _ = try vault.request("POST", "secret/data/old", token: root, body: #"{"data":{"k":"v"}}"#)
        let snapshot = try stage.backup()
        var step = 0
        var status: Int32 = -1
        while status != 0, step < 40 {
            step += 1
            // The write-ahead log of a daemon that was killed is part of what must survive.
            _ = try vault.request("POST", "secret/data/last", token: root, body: #"{"data":{"n":\#(step)}}"#)
            try vault.kill()
            status = try RunningProcess.run(
                "/usr/bin/env",
                [
                    "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=\(calls)", "-e",
                    "inject=\(calls):signal=KILL:when=\(step)", try CoffredProcess.program("coffre"), "operator",
                    "restore", "--state-directory", vault.stateFolder, snapshot,
                ],
                environment: stage.environment
            ).status
            try vault.start()
            try vault.unseal()
            let isNew = try vault.request("GET", "sys/restore/status").data["hold"] as? Bool == true
            if isNew {
                #expect(try vault.request("PUT", "sys/restore/confirm").status == 204)
            } else {
                let last = try vault.request("GET", "secret/data/last", token: root)
                #expect(last.text.contains(#""n":\#(step)"#), "step \(step): \(last.text)")
            }
            #expect(try vault.request("GET", "secret/data/old", token: root).status == 200, "step \(step)")
            #expect(try stage.leftovers().isEmpty)
        }
        #expect(status == 0 || step == 40)
        #expect(step > 1)
        try vault.stop()
        try vault.verifyLog()
    }

    @Test func aSnapshotBesideAnotherLogIsHeld() throws {
        let stage = try BackupStage()
        let snapshot = try stage.backup()
        let shares = try stage.vault.keys.shares
        let other = try CoffredProcess()
        let restored = try stage.coffre(["operator", "restore", "--state-directory", other.stateFolder, snapshot])
        #expect(restored.status == 0, "\(restored.output)")
        try other.start()
        for share in shares.prefix(2) {
            #expect(try other.request("PUT", "sys/unseal", body: #"{"key":"\#(share)"}"#).status == 200)
        }
        #expect(try other.request("GET", "sys/mounts", token: stage.root).status == 503)
        let status = try other.request("GET", "sys/restore/status").data
        #expect(status["hold"] as? Bool == true)
        #expect(status["same_log"] as? Bool == false)
        #expect(try other.request("PUT", "sys/restore/confirm").status == 204)
        #expect(try other.request("GET", "sys/mounts", token: stage.root).status == 200)
    }

    @Test func aForgedManifestDoesNotOpen() throws {
        let stage = try BackupStage()
        let snapshot = try stage.backup()
        let whole = [UInt8](try #require(FileManager.default.contents(atPath: snapshot)))
        // Everything that a stranger can make right again is right: form, lengths and hashes.
        var reader = SnapshotReader()
        var database: [UInt8] = []
        try whole.withUnsafeBytes { try reader.feed($0) { database += $0 } }
        var manifest = try reader.finish().manifest
        manifest.logSize += 1
        let hash = Hex.encode(SHA256.hash(manifest.encoded).bytes)
        let forged = SnapshotContainer.head(manifest) + database + SnapshotContainer.tail(manifest, manifestHash: hash)
        let path = stage.files.file("forged.tar")
        try Data(forged).write(to: URL(fileURLWithPath: path))
        #expect(try stage.coffre(["operator", "snapshot", "inspect", path]).status == 0)
        try stage.vault.stop()
        let restored = try stage.coffre(["operator", "restore", "--state-directory", stage.vault.stateFolder, path])
        #expect(restored.status == 0)
        try stage.vault.start()
        let shares = try stage.vault.keys.shares
        #expect(try stage.vault.request("PUT", "sys/unseal", body: #"{"key":"\#(shares[0])"}"#).status == 200)
        let refused = try stage.vault.request("PUT", "sys/unseal", body: #"{"key":"\#(shares[1])"}"#)
        #expect(refused.status == 500)
        #expect(refused.errors.first?.contains("not made by this vault") == true)
        #expect(try stage.vault.request("GET", "sys/seal-status").json["sealed"] as? Bool == true)
    }

    @Test func aRunningDaemonAndAnotherVaultAreNotReplaced() throws {
        let stage = try BackupStage()
        let snapshot = try stage.backup()
        let restore = ["operator", "restore", "--state-directory"]
        let running = try stage.coffre(restore + [stage.vault.stateFolder, snapshot])
        #expect(running.status == 69)
        #expect(running.output.contains("stop it first"), "\(running.output)")
        let (other, root) = try CoffredProcess.unsealed()
        _ = try other.request("POST", "secret/data/mine", token: root, body: #"{"data":{}}"#)
        try other.kill()
        let refused = try stage.coffre(restore + [other.stateFolder, snapshot])
        #expect(refused.status == 64)
        #expect(refused.output.contains("another vault"))
        try other.start()
        try other.unseal()
        #expect(try other.request("GET", "secret/data/mine", token: root).status == 200)
        // Killed, so that its write-ahead log must come along into what is kept.
        _ = try other.request("POST", "secret/data/last", token: root, body: #"{"data":{}}"#)
        try other.kill()
        let forced = try stage.coffre([
            "operator", "restore", "--force", "--state-directory", other.stateFolder, snapshot,
        ])
        #expect(forced.status == 0, "\(forced.output)")
        let names = try FileManager.default.contentsOfDirectory(atPath: other.stateFolder)
        #expect(!names.contains { $0.hasSuffix("-wal") || $0.hasSuffix("-shm") }, "\(names)")
        let kept = try #require(names.first { $0.contains("before-restore") })
        try FileManager.default.removeItem(atPath: other.database)
        try FileManager.default.moveItem(atPath: other.stateFolder + "/" + kept, toPath: other.database)
        try other.start()
        try other.unseal()
        #expect(try other.request("GET", "secret/data/last", token: root).status == 200)
    }

    @Test(.enabled(if: geteuid() == 0)) func onlyOperatorsSeeWhatDiffers() throws {
        let stage = try BackupStage()
        chmod(stage.vault.socket, 0o666)
        let result = try RunningProcess.run(
            "/usr/bin/setpriv",
            [
                "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", stage.vault.socket,
                "http://localhost/v1/sys/restore/status",
            ]
        )
        #expect(result.output.contains("permission denied"))
    }
}
