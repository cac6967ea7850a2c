import CoffreClient
import CoffreWire
import Testing

private func client(_ daemon: FakeDaemon, _ change: (inout CoffreClient.Configuration) -> Void = { _ in })
    -> CoffreClient
{
    var configuration = CoffreClient.Configuration()
    configuration.socketPath = daemon.socketPath
    configuration.timeout = .seconds(20)
    change(&configuration)
    return CoffreClient(configuration)
}

struct CoffreClientTests {
    @Test func aReadSendsWhatOtherClientsSend() async throws {
        let daemon = try FakeDaemon(["GET /v1/secret/data/app": .json(200, #"{"data":{"a":1.50}}"#)])
        let token = try ClientToken("s.abc\n")
        let answer = try await client(daemon) { $0.token = token }.read("secret/data/app")
        #expect(answer.data?["a"] == .number("1.50"))
        let request = try #require(daemon.requests.first)
        #expect(request.header("Host") == "localhost")
        #expect(request.header("X-Vault-Request") == "true")
        #expect(request.header("X-Vault-Token") == "s.abc")
        #expect(request.header("Content-Length") == nil)
    }

    @Test func withoutATokenNoneIsSent() async throws {
        let daemon = try FakeDaemon(["GET /v1/sys/leader": .json(200, "{}")])
        _ = try await client(daemon).leader()
        #expect(daemon.requests.first?.header("X-Vault-Token") == nil)
    }

    @Test func aListIsAGetAndABodyIsSentByteForByte() async throws {
        let daemon = try FakeDaemon([
            "GET /v1/secret/metadata/a?list=true": .json(200, #"{"data":{"keys":["x","y/"]}}"#),
            "PUT /v1/cubbyhole/b": .json(204, ""),
        ])
        let answer = try await client(daemon).list("/secret/metadata/a/")
        #expect(try CoffreClient.keys(of: answer) == ["x", "y/"])
        let written = try await client(daemon).write("cubbyhole/b", Array(#"{ "n" : 1.0e2 }"#.utf8))
        #expect(written.json == nil)
        #expect(daemon.requests.last?.body == #"{ "n" : 1.0e2 }"#)
    }

    @Test func aPatchNamesItsMediaType() async throws {
        let daemon = try FakeDaemon(["PATCH /v1/secret/data/a": .json(200, #"{"data":{"version":2}}"#)])
        let place = CoffreClient.KVPath(mount: "secret/", path: "/a")
        _ = try await client(daemon).kvPatch(place, data: Array(#"{"x":null}"#.utf8), cas: 1)
        #expect(daemon.requests.first?.header("Content-Type") == "application/merge-patch+json")
        #expect(daemon.requests.first?.body == #"{"options":{"cas":1},"data":{"x":null}}"#)
    }

    @Test(arguments: [
        (400, ClientError.Code.badRequest), (403, .denied), (404, .notFound), (429, .rateLimited), (503, .sealed),
        (405, .failed), (500, .failed), (502, .failed), (301, .failed),
    ])
    func aStatusBecomesACode(status: Int, code: ClientError.Code) async throws {
        let daemon = try FakeDaemon { _ in .json(status, #"{"errors":["one","two"]}"#) }
        let error = await #expect(throws: ClientError.self) { try await client(daemon).read("a") }
        #expect(error?.code == code)
        #expect(error?.status == status)
        #expect(error?.errors == ["one", "two"])
        #expect(error?.description == "one; two")
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot JSON!", ClientError.Code.malformedAnswer),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", .malformedAnswer),
        ("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", .connectionLost),
        ("SSH-2.0-OpenSSH_9.2\r\n", .malformedAnswer),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", .malformedAnswer),
        ("", .connectionLost),
    ])
    func aBrokenAnswerIsRefused(bytes: String, code: ClientError.Code) async throws {
        let daemon = try FakeDaemon { _ in .bytes(bytes) }
        let error = await #expect(throws: ClientError.self) { try await client(daemon).read("a") }
        #expect(error?.code == code)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + String(repeating: " ", count: 2048),
    ])
    func anAnswerOverTheLimitIsRefusedBeforeItIsWhole(bytes: String) async throws {
        let daemon = try FakeDaemon { _ in .bytes(bytes) }
        let error = await #expect(throws: ClientError.self) {
            try await client(daemon) { $0.maximumAnswerSize = 1024 }.read("a")
        }
        #expect(error?.code == .answerTooLarge)
    }

    @Test func aSilentDaemonTimesOut() async throws {
        let daemon = try FakeDaemon { _ in .silence }
        let error = await #expect(throws: ClientError.self) {
            try await client(daemon) { $0.timeout = .milliseconds(50) }.read("a")
        }
        #expect(error?.code == .timedOut)
    }

    @Test func aCancelledCallEnds() async throws {
        let daemon = try FakeDaemon { _ in .silence }
        let client = client(daemon)
        let call = Task { try await client.read("a") }
        call.cancel()
        let error = await #expect(throws: ClientError.self) { try await call.value }
        #expect(error?.code == .cancelled)
    }

    @Test func anAbsentSocketIsUnreachable() async throws {
        var configuration = CoffreClient.Configuration()
        configuration.socketPath = "/nonexistent/s.sock"
        let absent = CoffreClient(configuration)
        let error = await #expect(throws: ClientError.self) { try await absent.read("a") }
        #expect(error?.code == .unreachable)
        configuration.socketPath = String(repeating: "x", count: 200)
        let long = CoffreClient(configuration)
        let refused = await #expect(throws: ClientError.self) { try await long.read("a") }
        #expect(refused?.code == .invalidInput)
    }

    @Test func callsRunSideBySide() async throws {
        let daemon = try FakeDaemon { .json(200, #"{"data":{"line":"\#($0.line)"}}"#) }
        let client = client(daemon)
        let lines = try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<50 {
                group.addTask { try await client.read("n/\(number)").data?["line"]?.string ?? "" }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(lines == Set((0..<50).map { "GET /v1/n/\($0)" }))
    }
}

struct KVTests {
    private func preflight(_ mount: String, _ options: String) -> FakeDaemon.Reply {
        .json(200, #"{"data":{"path":"\#(mount)","type":"kv","options":\#(options)}}"#)
    }

    @Test func thePreflightFindsAMountWithASlashInIt() async throws {
        let daemon = try FakeDaemon([
            "GET /v1/sys/internal/ui/mounts/team/kv/app/db": preflight("team/kv/", #"{"version":"2"}"#)
        ])
        let place = try await client(daemon).kvPath("/team/kv/app/db")
        #expect(place == .init(mount: "team/kv", path: "app/db"))
    }

    @Test(arguments: [
        (#"null"#, "secret/", ClientError.Code.invalidInput), (#"{"version":"2"}"#, "sec/", .malformedAnswer),
    ])
    func aMountThatCannotServeThePathIsRefused(options: String, mount: String, code: ClientError.Code) async throws {
        let daemon = try FakeDaemon(["GET /v1/sys/internal/ui/mounts/secret/a": preflight(mount, options)])
        let error = await #expect(throws: ClientError.self) { try await client(daemon).kvPath("secret/a") }
        #expect(error?.code == code)
    }

    @Test(arguments: [("false", "deleted"), ("true", "destroyed")])
    func anErasedVersionSaysSo(destroyed: String, word: String) async throws {
        let body = #"{"data":{"data":null,"metadata":{"version":3,"destroyed":\#(destroyed)}}}"#
        let daemon = try FakeDaemon(["GET /v1/secret/data/a?version=3": .json(404, body)])
        let error = await #expect(throws: ClientError.self) {
            try await client(daemon).kvGet(.init(mount: "secret", path: "a"), version: 3)
        }
        #expect(error?.code == .notFound)
        #expect(error?.description == "version 3 is \(word)")
    }

    @Test(arguments: ["[1]", "1", "", "{", #"{"a":1}{"b":2}"#, #"{},"x":{}"#])
    func onlyAnObjectIsPutIntoASecret(text: String) async throws {
        let daemon = try FakeDaemon { _ in .json(204, "") }
        let error = await #expect(throws: ClientError.self) {
            try await client(daemon).kvPut(.init(mount: "secret", path: "a"), data: Array(text.utf8))
        }
        #expect(error?.code == .invalidInput)
        #expect(daemon.requests.isEmpty)
    }

    @Test func versionsAreSentAsNumbers() async throws {
        let daemon = try FakeDaemon { _ in .json(204, "") }
        let place = CoffreClient.KVPath(mount: "secret", path: "a")
        try await client(daemon).kvDelete(place, versions: [1, 2])
        try await client(daemon).kvUndelete(place, versions: [2])
        try await client(daemon).kvDestroy(place, versions: [3])
        #expect(daemon.requests.map(\.line) == ["delete", "undelete", "destroy"].map { "PUT /v1/secret/\($0)/a" })
        #expect(daemon.requests.map(\.body) == ["[1,2]", "[2]", "[3]"].map { #"{"versions":\#($0)}"# })
    }
}

struct AccessTests {
    @Test func aTokenIsNamedByItsAccessorOrItself() async throws {
        let daemon = try FakeDaemon { _ in .json(200, #"{"data":{},"auth":{}}"#) }
        let client = client(daemon)
        let token = try ClientToken("s.x")
        _ = try await client.lookUpToken(.own)
        _ = try await client.lookUpToken(.accessor("acc"))
        _ = try await client.renewToken(.token(token), increment: .seconds(90))
        try await client.revokeToken(.own)
        #expect(
            daemon.requests.map { "\($0.line) \($0.body)" } == [
                "GET /v1/auth/token/lookup-self ", #"PUT /v1/auth/token/lookup-accessor {"accessor":"acc"}"#,
                #"PUT /v1/auth/token/renew {"token":"s.x","increment":90}"#, "PUT /v1/auth/token/revoke-self {}",
            ]
        )
    }

    @Test func aRevocationIsCarriedOutBeforeItsAnswer() async throws {
        let daemon = try FakeDaemon { _ in .json(204, "") }
        try await client(daemon).revokeLease("database/creds/r/abc")
        try await client(daemon).revokeLeases(prefix: "database/creds/r", force: true)
        #expect(
            daemon.requests.map(\.line) == [
                "PUT /v1/sys/leases/revoke", "PUT /v1/sys/leases/revoke-force/database/creds/r",
            ]
        )
        #expect(daemon.requests.first?.body == #"{"lease_id":"database/creds/r/abc","sync":true}"#)
    }

    @Test func anInitialisationAsksForTheSharesOfItsSeal() async throws {
        let daemon = try FakeDaemon { _ in .json(200, #"{"keys":["00"],"keys_base64":["AA=="],"root_token":"s.r"}"#) }
        let made = try await client(daemon).initialize(shares: 5, threshold: 3, recovery: false)
        _ = try await client(daemon).initialize(shares: 1, threshold: 1, recovery: true)
        #expect(made.keysBase64 == ["AA=="])
        #expect(made.rootToken == "s.r")
        #expect(
            daemon.requests.map(\.body) == [
                #"{"secret_shares":5,"secret_threshold":3}"#, #"{"recovery_shares":1,"recovery_threshold":1}"#,
            ]
        )
    }
}
