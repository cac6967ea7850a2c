import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

@testable import CoffreConnectors

/// Jobs against a server that answers what a test has written.
@Suite struct OAuthJobsTests {
    private static let web = Result { try ScriptedWeb() }
    private static let granted = #"{"access_token":"a-1","refresh_token":"r-1","expires_in":"300"}"#

    private static func refresh(
        _ name: String,
        seconds: UInt32 = 20,
        _ change: (inout BrokerOAuth) -> Void = { _ in }
    ) throws -> OAuthJobBytes.Reply {
        let web = try web.get()
        let job = try OAuthJobBytes.job(.refresh, web.url(name)) {
            $0.timeoutSeconds = seconds
            change(&$0)
        }
        return try OAuthJobBytes.perform(job, [.grant: "r-0"], authority: web.authority)
    }

    @Test func tokensComeOverTLS13() throws {
        let web = try Self.web.get()
        try web.answer("fine", ["body": Self.granted, "headers": ["Content-Type": "application/json"]])
        let reply = try Self.refresh("fine")
        #expect(reply.reply.outcome == .granted && reply.reply.expiresIn == 300)
        #expect(reply.secrets == [.accessToken: "a-1", .refreshToken: "r-1"])
        let time = try #require(reply.reply.serverTime)
        #expect(abs(Double(time) - Date().timeIntervalSince1970) < 60)
        let came = try #require(try web.request("fine"))
        #expect(came["tls"] as? String == "TLSv1.3" && came["method"] as? String == "POST")
        #expect(came["body"] as? String == "grant_type=refresh_token&refresh_token=r-0")
        let headers = try #require(came["headers"] as? [String: String])
        #expect(headers["accept-encoding"] == "identity" && headers["host"] == "127.0.0.1:\(web.port)")
    }

    @Test func anotherHostIsNotFollowed() throws {
        let web = try Self.web.get()
        try web.answer("away", ["status": 307, "headers": ["Location": web.url("stolen")], "body": Self.granted])
        let reply = try Self.refresh("away")
        #expect(reply.problem == .redirected && reply.reply.status == 307 && reply.secrets.isEmpty)
        #expect(try web.request("stolen") == nil)
    }

    @Test(arguments: [false, true])
    func tenMegabytesAreNotRead(chunked: Bool) throws {
        let web = try Self.web.get()
        let name = "huge\(chunked)"
        try web.answer(name, ["bytes": 10 << 20, "chunked": chunked])
        #expect(try Self.refresh(name).problem == .tooLarge)
    }

    @Test func anAnswerUpToItsLimitIsRead() throws {
        let web = try Self.web.get()
        let filler = OAuthReply.Limit.answer - Self.granted.utf8.count
        try web.answer("full", ["body": Self.granted + String(repeating: " ", count: filler)])
        #expect(try Self.refresh("full").secrets[.accessToken] == "a-1")
        try web.answer("fuller", ["body": Self.granted + String(repeating: " ", count: filler + 1)])
        #expect(try Self.refresh("fuller").problem == .tooLarge)
    }

    @Test(arguments: ["silent", "cut", "chunked"])
    func aConnectionThatBreaksMayHaveDoneItsWork(name: String) throws {
        let scripts: [String: [String: Any]] = [
            "silent": ["silent": true], "cut": ["body": Self.granted, "cut": 10],
            "chunked": ["body": Self.granted, "chunked": true, "cut": 10],
        ]
        try Self.web.get().answer(name, scripts[name] ?? [:])
        let reply = try Self.refresh(name)
        #expect(reply.problem == .interrupted && reply.problem?.mayHaveHappened == true, "\(reply)")
    }

    @Test func whoIsTooSlowIsLeft() throws {
        try Self.web.get().answer("slow", ["delay": 8, "body": Self.granted])
        let begin = ContinuousClock.now
        #expect(try Self.refresh("slow", seconds: 2).problem == .timeout)
        #expect(ContinuousClock.now - begin < .seconds(7))
    }

    @Test func contentThatIsPackedIsNotUnpacked() throws {
        try Self.web.get().answer("packed", ["body": Self.granted, "headers": ["Content-Encoding": "gzip"]])
        #expect(try Self.refresh("packed").problem == .malformed)
    }

    @Test func theTimeToWaitIsHandedOn() throws {
        try Self.web.get().answer("busy", ["status": 429, "headers": ["Retry-After": "17"], "body": "{}"])
        let reply = try Self.refresh("busy")
        #expect(reply.problem == .temporary && reply.reply.retryAfter == 17 && reply.reply.status == 429)
    }

    @Test func aTokenIsTriedAndEnded() throws {
        let web = try Self.web.get()
        try web.answer("me", ["body": #"[{"id":"c-1"}]"#, "then": ["status": 401, "body": "{}"]])
        let probe = try OAuthJobBytes.job(.probe, web.url("me")) {
            $0.method = .get
            $0.body = .none
            $0.tokenPlace = .bearer
            $0.learns = [.init("cloudid", "*.id")]
        }
        let first = try OAuthJobBytes.perform(probe, [.grant: "tok"], authority: web.authority)
        #expect(first.reply.value("cloudid") == "c-1")
        let came = try web.request("me")
        #expect((came?["headers"] as? [String: String])?["authorization"] == "Bearer tok")
        #expect(came?["method"] as? String == "GET")
        #expect(try OAuthJobBytes.perform(probe, [.grant: "tok"], authority: web.authority).problem == .invalidToken)

        try web.answer("gone", ["status": 204])
        let revoke = try OAuthJobBytes.job(.revoke, web.url("gone")) {
            $0.method = .delete
            $0.body = .json
            $0.grantParameter = "access_token"
        }
        #expect(try OAuthJobBytes.perform(revoke, [.grant: "tok"], authority: web.authority).reply.outcome == .granted)
        #expect(try web.request("gone")?["body"] as? String == #"{"access_token":"tok"}"#)
        #expect(try web.request("gone")?["method"] as? String == "DELETE")
    }

    @Test func aServerThatNobodyVouchesForGetsNothing() throws {
        let web = try Self.web.get()
        let job = try OAuthJobBytes.job(.refresh, web.url("unseen"))
        let reply = try OAuthJobBytes.perform(job, [.grant: "r"], authority: try TestAuthority())
        #expect(reply.problem == .tls && reply.problem?.mayHaveHappened == false)
        #expect(try web.request("unseen") == nil)
        // The job may bring the authority along.
        try web.answer("private", ["body": Self.granted])
        let root = Array(try Data(contentsOf: URL(fileURLWithPath: web.authority.certificate)))
        let known = try OAuthJobBytes.job(.refresh, web.url("private")) { $0.rootCertificate = root }
        #expect(try OAuthJobBytes.perform(known, [.grant: "r"], authority: nil).secrets[.accessToken] == "a-1")
    }

    @Test func anOlderTLSIsAChoiceOfTheJob() throws {
        let web = try ScriptedWeb(["--tls12"])
        try web.answer("old", ["body": Self.granted])
        let job = try OAuthJobBytes.job(.refresh, web.url("old"))
        #expect(try OAuthJobBytes.perform(job, [.grant: "r"], authority: web.authority).problem == .tls)
        let chosen = try OAuthJobBytes.job(.refresh, web.url("old")) { $0.minimumTLS = .tls12 }
        #expect(try OAuthJobBytes.perform(chosen, [.grant: "r"], authority: web.authority).reply.outcome == .granted)
        #expect(try web.request("old")?["tls"] as? String == "TLSv1.2")
    }

    @Test func aClientShowsItsCertificate() throws {
        let authority = try TestAuthority()
        let web = try ScriptedWeb(["--client-ca", authority.certificate], authority: authority)
        try web.answer("mutual", ["body": Self.granted])
        func bytes(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }
        let job = try OAuthJobBytes.job(.clientCredentials, web.url("mutual")) {
            $0.clientID = "adp"
            $0.authentication = .basic
            $0.clientCertificate = try? bytes(authority.client.certificate)
        }
        let key = String(decoding: try bytes(authority.client.key), as: UTF8.self)
        let secrets: [BrokerOAuth.Secret: String] = [.clientSecret: "s", .certificateKey: key]
        #expect(try OAuthJobBytes.perform(job, secrets, authority: authority).secrets[.accessToken] == "a-1")
        #expect(try web.request("mutual")?["client"] as? String == "client")
        // Without, or with one that the server does not know, nothing is asked.
        let bare = try OAuthJobBytes.job(.clientCredentials, web.url("bare"))
        #expect(try OAuthJobBytes.perform(bare, [:], authority: authority).reply.outcome != .granted)
        let stranger = try TestAuthority()
        var other = job
        other.target = try WebTarget(web.url("stranger"))
        other.clientCertificate = try bytes(stranger.client.certificate)
        let otherKey = String(decoding: try bytes(stranger.client.key), as: UTF8.self)
        let refused = try OAuthJobBytes.perform(
            other,
            [.clientSecret: "s", .certificateKey: otherKey],
            authority: authority
        )
        #expect(refused.problem == .tls || refused.problem == .interrupted)
        #expect(try web.request("bare") == nil && web.request("stranger") == nil)
        let noKey: [BrokerOAuth.Secret: String] = [.clientSecret: "s", .certificateKey: "none"]
        #expect(try OAuthJobBytes.perform(job, noKey, authority: authority).problem == .badJob)
    }

    @Test func whatWasNotSentSaysSo() throws {
        let web = try Self.web.get()
        func attempt(_ url: String, allow: [String] = ["127.0.0.0/8"]) throws -> OAuthProblem? {
            let job = try OAuthJobBytes.job(.refresh, url) { $0.timeoutSeconds = 5 }
            return try OAuthJobBytes.perform(job, [.grant: "r"], authority: web.authority, allow: allow).problem
        }
        #expect(try attempt(web.url("x"), allow: []) == .egressRefused)
        #expect(try attempt("https://169.254.169.254/latest") == .egressRefused)
        #expect(try attempt("https://127.0.0.1:\(PostgresServer.freePort())/") == .unreachable)
        let silent = try SilentListener()
        #expect(try attempt("https://127.0.0.1:\(silent.port)/") == .unreachable)
        #expect(try web.request("x") == nil)
    }
}
