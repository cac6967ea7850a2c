import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// Who opens a vault, with what.
@Suite(.serialized)
struct SealTests {
    private func curl(_ vault: CoffredProcess, uid: Int, _ path: String, _ body: String) throws -> String {
        let result = try RunningProcess.run(
            "/usr/bin/setpriv",
            [
                "--reuid=\(uid)", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", vault.socket, "-X",
                "PUT", "http://localhost/v1/\(path)", "-d", body,
            ]
        )
        #expect(result.status == 0)
        return result.output
    }

    @Test func aCredentialOpensTheVaultAtEachStart() throws {
        var setup = CoffredProcess.Setup()
        setup.seal = "credential"
        let (vault, root) = try CoffredProcess.unsealed(setup)
        _ = try vault.request("POST", "secret/data/a", token: root, body: #"{"data":{"k":"v"}}"#)
        try vault.stop()
        try vault.start()
        let status = try vault.request("GET", "sys/seal-status").json
        #expect(status["sealed"] as? Bool == false)
        #expect(status["recovery_seal"] as? Bool == true)
        #expect(try vault.request("GET", "secret/data/a", token: root).status == 200)
    }

    @Test func recoverySharesOpenWhenTheCredentialIsLost() throws {
        var setup = CoffredProcess.Setup()
        setup.seal = "credential"
        let (vault, root) = try CoffredProcess.unsealed(setup)
        _ = try vault.request("POST", "secret/data/a", token: root, body: #"{"data":{"k":"v"}}"#)
        try vault.stop()
        let key = vault.folder.file("credentials/coffre.unseal")
        let right = try #require(FileManager.default.contents(atPath: key))
        try Data(right.map { ~$0 }).write(to: URL(fileURLWithPath: key))
        try vault.start()
        #expect(try vault.request("GET", "sys/seal-status").json["sealed"] as? Bool == true)
        #expect(vault.output.contains("does not open this vault"))
        #expect(try vault.request("GET", "secret/data/a", token: root).status == 503)
        try vault.unseal()
        #expect(try vault.request("GET", "secret/data/a", token: root).status == 200)
        try vault.stop()
        // The right credential opens it again by itself.
        try right.write(to: URL(fileURLWithPath: key))
        try vault.start()
        #expect(try vault.request("GET", "secret/data/a", token: root).status == 200)
        try vault.stop()
        try vault.verifyLog()
    }

    @Test func aShortCredentialIsAConfigurationError() throws {
        var setup = CoffredProcess.Setup()
        setup.seal = "credential"
        let vault = try CoffredProcess(setup)
        try Data("short".utf8).write(to: URL(fileURLWithPath: vault.folder.file("credentials/coffre.unseal")))
        let process = try vault.launch()
        #expect(try process.wait() == 78)
        #expect(process.output.contains("must have 32 bytes"))
    }

    @Test(.enabled(if: geteuid() == 0)) func operatorsAreThoseOfTheConfiguration() throws {
        var setup = CoffredProcess.Setup()
        setup.operators = [65_533]
        let vault = try CoffredProcess.started(setup)
        chmod(vault.socket, 0o666)
        let keys = try vault.initialise()
        let body = #"{"key":"\#(keys.shares[0])"}"#
        #expect(try curl(vault, uid: 65_534, "sys/unseal", body).contains("permission denied"))
        #expect(try curl(vault, uid: 65_533, "sys/unseal", body).contains(#""progress":1"#))
        #expect(
            try curl(vault, uid: 65_533, "sys/unseal", #"{"key":"\#(keys.shares[2])"}"#).contains(#""sealed":false"#)
        )
    }
}
