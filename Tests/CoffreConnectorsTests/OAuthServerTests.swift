import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

@testable import CoffreConnectors

/// Jobs against a real authorization server.
@Suite(.serialized) struct OAuthServerTests {
    private static let server = Result { try OAuthServer() }

    static func job(
        _ kind: BrokerOAuth.Kind,
        _ server: OAuthServer,
        _ path: String = "/token/",
        publicKey: [UInt8] = OAuthJobBytes.noKey,
        client: String? = "coffre",
        _ change: (inout BrokerOAuth) -> Void = { _ in }
    ) throws -> BrokerOAuth {
        try OAuthJobBytes.job(kind, server.origin + path, publicKey: publicKey) {
            $0.clientID = client
            if client == "coffre" || client == "coffre-machine" { $0.authentication = .basic }
            change(&$0)
        }
    }

    private static func exchange(
        _ server: OAuthServer,
        scope: String = "read write",
        granting: String? = nil
    ) throws -> OAuthJobBytes.Reply {
        let consent = try server.consent(scope: scope, granting: granting)
        #expect(consent.parameters["state"] == "state-1" && consent.parameters["iss"] == server.origin)
        let job = try job(.exchange, server) { $0.parameters = [.init("redirect_uri", OAuthServer.redirect)] }
        let secrets: [BrokerOAuth.Secret: String] = [
            .clientSecret: OAuthServer.secret, .grant: consent.code, .verifier: consent.verifier,
        ]
        return try OAuthJobBytes.perform(job, secrets, authority: server.authority)
    }

    private static func refresh(_ server: OAuthServer, _ token: String?) throws -> OAuthJobBytes.Reply {
        let secrets: [BrokerOAuth.Secret: String] = [.clientSecret: OAuthServer.secret, .grant: token ?? ""]
        return try OAuthJobBytes.perform(try job(.refresh, server), secrets, authority: server.authority)
    }

    private static func probe(_ server: OAuthServer, _ token: String?) throws -> OAuthJobBytes.Reply {
        let job = try job(.probe, server, "/api/me", client: nil) {
            $0.method = .get
            $0.body = .none
            $0.tokenPlace = .bearer
            $0.learns = [.init("user", "user"), .init("organisation", "organisations.*.name")]
        }
        return try OAuthJobBytes.perform(job, [.grant: token ?? ""], authority: server.authority)
    }

    @Test func aConsentBecomesTokensThatWork() throws {
        let server = try Self.server.get()
        let reply = try Self.exchange(server, scope: "openid read")
        #expect(reply.reply.outcome == .granted && reply.reply.expiresIn == 3600 && reply.reply.scope == "openid read")
        #expect(reply.secrets[.idToken]?.split(separator: ".").count == 3)
        let tried = try Self.probe(server, reply.secrets[.accessToken])
        #expect(tried.reply.value("user") == "alice")
        #expect(tried.reply.learnt.filter { $0.name == "organisation" }.map(\.value) == ["Première", "Second"])
        #expect(try Self.probe(server, "wrong").problem == .invalidToken)
        #expect(try server.log().allSatisfy { $0["tls"] as? String == "TLSv1.3" })
    }

    @Test func lessThanAskedIsTold() throws {
        let reply = try Self.exchange(try Self.server.get(), scope: "read write", granting: "read")
        #expect(reply.reply.scope == "read")
    }

    @Test func aCodeServesOnceAndWithItsProofKeyOnly() throws {
        let server = try Self.server.get()
        let consent = try server.consent()
        let job = try Self.job(.exchange, server) { $0.parameters = [.init("redirect_uri", OAuthServer.redirect)] }
        var secrets: [BrokerOAuth.Secret: String] = [
            .clientSecret: OAuthServer.secret, .grant: consent.code, .verifier: String(repeating: "x", count: 43),
        ]
        #expect(try OAuthJobBytes.perform(job, secrets, authority: server.authority).problem == .invalidGrant)
        let second = try server.consent()
        secrets[.grant] = second.code
        secrets[.verifier] = second.verifier
        #expect(try OAuthJobBytes.perform(job, secrets, authority: server.authority).reply.outcome == .granted)
        #expect(try OAuthJobBytes.perform(job, secrets, authority: server.authority).problem == .invalidGrant)
        secrets[.clientSecret] = "wrong"
        #expect(try OAuthJobBytes.perform(job, secrets, authority: server.authority).problem == .invalidClient)
    }

    @Test func aUsedRefreshTokenEndsItsFamily() throws {
        let server = try Self.server.get()
        let first = try Self.exchange(server)
        let second = try Self.refresh(server, first.secrets[.refreshToken])
        #expect(second.reply.outcome == .granted)
        #expect(second.secrets[.refreshToken] != first.secrets[.refreshToken])
        #expect(try Self.refresh(server, first.secrets[.refreshToken]).problem == .invalidGrant)
        #expect(try Self.refresh(server, second.secrets[.refreshToken]).problem == .invalidGrant)
    }

    @Test func withinTheGracePeriodAUsedTokenStillWorks() throws {
        var setup = OAuthServer.Setup()
        setup.grace = 600
        let server = try OAuthServer(setup)
        let first = try Self.exchange(server)
        #expect(try Self.refresh(server, first.secrets[.refreshToken]).reply.outcome == .granted)
        let again = try Self.refresh(server, first.secrets[.refreshToken])
        #expect(again.reply.outcome == .granted && again.secrets[.refreshToken] != nil)
        // What was stored outlives the server.
        try server.kill()
        let away = try Self.refresh(server, again.secrets[.refreshToken])
        #expect(away.problem == .unreachable)
        try server.restart()
        #expect(try Self.refresh(server, again.secrets[.refreshToken]).reply.outcome == .granted)
    }

    @Test func anAnswerThatWasLostHasHappenedAllTheSame() throws {
        let server = try Self.server.get()
        let first = try Self.exchange(server)
        try server.fault(#"{"drop":1}"#)
        #expect(try Self.refresh(server, first.secrets[.refreshToken]).problem == .interrupted)
        #expect(try Self.refresh(server, first.secrets[.refreshToken]).problem == .invalidGrant)
        try server.fault(#"{"status":503,"body":"<html>down</html>","count":1}"#)
        #expect(try Self.refresh(server, "x").problem == .temporary)
    }

    @Test func aClientGetsATokenForItself() throws {
        let server = try Self.server.get()
        let job = try Self.job(.clientCredentials, server, client: "coffre-machine") {
            $0.parameters = [.init("scope", "read")]
        }
        let reply = try OAuthJobBytes.perform(job, [.clientSecret: OAuthServer.secret], authority: server.authority)
        #expect(reply.secrets[.accessToken] != nil && reply.secrets[.refreshToken] == nil)
        #expect(try Self.probe(server, reply.secrets[.accessToken]).reply.outcome == .granted)
        var other = job
        other.parameters = [.init("scope", "everything")]
        let refused = try OAuthJobBytes.perform(other, [.clientSecret: OAuthServer.secret], authority: server.authority)
        #expect(refused.problem == .invalidScope)
    }

    @Test(arguments: [true, false])
    func aDeviceWaitsForAPerson(approving: Bool) throws {
        let server = try Self.server.get()
        let start = try Self.job(.deviceStart, server, "/device-authorization/", client: "coffre-device") {
            $0.parameters = [.init("scope", "read")]
        }
        let begun = try OAuthJobBytes.perform(start, [:], authority: server.authority)
        #expect(begun.reply.interval == 1 && begun.reply.verificationURI == server.origin + "/device/")
        let code = try #require(begun.secrets[.deviceCode])
        let poll = try Self.job(.devicePoll, server, client: "coffre-device")
        #expect(
            try OAuthJobBytes.perform(poll, [.grant: code], authority: server.authority).problem
                == .authorizationPending
        )
        try server.answerDevice(try #require(begun.reply.userCode), approving: approving)
        let ended = try OAuthJobBytes.perform(poll, [.grant: code], authority: server.authority)
        if approving {
            #expect(try Self.probe(server, ended.secrets[.accessToken]).reply.value("user") == "alice")
        } else {
            #expect(ended.problem == .accessDenied)
        }
        #expect(try OAuthJobBytes.perform(poll, [.grant: "none"], authority: server.authority).problem == .invalidGrant)
    }

    @Test func aRevokedTokenNoLongerWorks() throws {
        let server = try Self.server.get()
        let tokens = try Self.exchange(server)
        let revoke = try Self.job(.revoke, server, "/revoke_token/") {
            $0.parameters = [.init("token_type_hint", "refresh_token")]
        }
        var secrets: [BrokerOAuth.Secret: String] = [.clientSecret: OAuthServer.secret]
        secrets[.grant] = tokens.secrets[.refreshToken]
        #expect(try OAuthJobBytes.perform(revoke, secrets, authority: server.authority).reply.outcome == .granted)
        #expect(try Self.probe(server, tokens.secrets[.accessToken]).problem == .invalidToken)
        #expect(try Self.refresh(server, tokens.secrets[.refreshToken]).problem == .invalidGrant)
        // RFC 7009 §2.2: a token that is none is revoked too.
        #expect(try OAuthJobBytes.perform(revoke, secrets, authority: server.authority).reply.outcome == .granted)
        secrets[.clientSecret] = "wrong"
        #expect(try OAuthJobBytes.perform(revoke, secrets, authority: server.authority).problem == .invalidClient)
    }

    @Test func whatAPersonEndsAtTheProviderIsNoLongerAGrant() throws {
        let server = try OAuthServer()
        let tokens = try Self.exchange(server)
        try server.expireAccessTokens()
        #expect(try Self.probe(server, tokens.secrets[.accessToken]).problem == .invalidToken)
        let second = try Self.refresh(server, tokens.secrets[.refreshToken])
        #expect(second.reply.outcome == .granted)
        try server.revokeGrants(of: "alice")
        #expect(try Self.refresh(server, second.secrets[.refreshToken]).problem == .invalidGrant)
    }
}
