import CoffreCrypto
import CoffreWire
import Testing

@testable import CoffreConnectors

/// The documented answers of providers, and what is made of them.
@Suite struct OAuthAnswerTests {
    static func read(
        _ status: Int,
        _ body: String,
        kind: BrokerOAuth.Kind = .refresh,
        type: String? = "application/json",
        _ change: (inout BrokerOAuth) -> Void = { _ in }
    ) throws -> OAuthAnswer {
        var job = BrokerOAuth(kind, at: try WebTarget("https://id.example/token"))
        change(&job)
        let head = OAuthHead(status: status, contentType: type)
        let answer = Array(body.utf8).withUnsafeBytes { OAuthAnswer.read(job, head, $0) }
        // Whatever comes out can be sent.
        #expect(answer.encoded != nil)
        return answer
    }

    static func text(_ answer: OAuthAnswer, _ secret: OAuthReply.Secret) -> String? {
        answer.secrets[secret]?.withBytes { String(decoding: $0, as: UTF8.self) }
    }

    static func problem(_ answer: OAuthAnswer) -> OAuthProblem? {
        guard case .failed(let problem) = answer.reply.outcome else { return nil }
        return problem
    }

    @Test func theAnswerOfTheRFC() throws {
        let answer = try Self.read(
            200,
            """
            {"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,
             "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","scope":"a b","id_token":"x.y.z","example":"v"}
            """
        )
        #expect(answer.reply.outcome == .granted)
        #expect(Self.text(answer, .accessToken) == "2YotnFZFEjr1zCsicMWpAA")
        #expect(Self.text(answer, .refreshToken) == "tGzv3JOkF0XG5Qx2TlKWIA")
        #expect(Self.text(answer, .idToken) == "x.y.z")
        #expect(answer.reply.expiresIn == 3600 && answer.reply.scope == "a b" && answer.reply.tokenType == "example")
        #expect(answer.reply.refreshExpiresIn == nil && answer.reply.learnt.isEmpty && answer.reply.status == 200)
    }

    @Test func slackSaysNoWith200AndYesWithNestedTokens() throws {
        let no = try Self.read(200, #"{"ok":false,"error":"invalid_refresh_token"}"#)
        #expect(Self.problem(no) == .invalidGrant && no.reply.error == "invalid_refresh_token" && no.secrets.isEmpty)
        let yes = try Self.read(
            200,
            """
            {"ok":true,"error":"","app_id":"A1","access_token":"xoxb-bot","token_type":"bot","team":{"id":"T9"},
             "authed_user":{"id":"U1","scope":"chat:write","access_token":"xoxe.xoxp-1","expires_in":43200,
             "refresh_token":"xoxe-1","token_type":"user"}}
            """,
            kind: .exchange
        ) {
            $0.tokenObject = "authed_user"
            $0.learns = [.init("team_id", "team.id"), .init("user_id", "authed_user.id")]
        }
        #expect(Self.text(yes, .accessToken) == "xoxe.xoxp-1" && Self.text(yes, .refreshToken) == "xoxe-1")
        #expect(yes.reply.scope == "chat:write" && yes.reply.expiresIn == 43_200)
        #expect(yes.reply.value("team_id") == "T9" && yes.reply.value("user_id") == "U1")
        // The bot's token is at the top.
        #expect(Self.text(try Self.read(200, #"{"ok":true,"access_token":"xoxb"}"#), .accessToken) == "xoxb")
    }

    @Test func slacksCallsSayNoWith200() throws {
        let refused = try Self.read(200, #"{"ok":false,"error":"token_revoked"}"#, kind: .probe) {
            $0.quirks = .errorsIn200
        }
        #expect(Self.problem(refused) == .invalidToken)
        #expect(Self.problem(try Self.read(200, #"{"ok":false,"error":"x"}"#, kind: .probe)) == nil)
        let revoked = try Self.read(200, #"{"ok":true,"revoked":true}"#, kind: .revoke) { $0.quirks = .errorsIn200 }
        #expect(revoked.reply.outcome == .granted)
    }

    @Test func githubWritesFormsAndErrorsWith200() throws {
        let form = "application/x-www-form-urlencoded; charset=utf-8"
        let yes = try Self.read(
            200,
            "access_token=ghu_16C7e42F292c6912E7710c838347Ae178B4a&expires_in=28800&refresh_token=ghr_1%2Bx"
                + "&refresh_token_expires_in=15897600&scope=repo%2Cgist&token_type=bearer",
            type: form
        )
        #expect(Self.text(yes, .accessToken) == "ghu_16C7e42F292c6912E7710c838347Ae178B4a")
        #expect(Self.text(yes, .refreshToken) == "ghr_1+x")
        #expect(yes.reply.expiresIn == 28_800 && yes.reply.refreshExpiresIn == 15_897_600)
        #expect(yes.reply.scope == "repo,gist" && yes.reply.tokenType == "bearer")
        let no = try Self.read(
            200,
            "error=bad_verification_code&error_description=The+code+passed+is+incorrect+or+expired.&error_uri=https%3A",
            kind: .exchange,
            type: form
        )
        #expect(Self.problem(no) == .invalidGrant && no.reply.error == "bad_verification_code")
        for (word, problem) in [
            ("incorrect_client_credentials", OAuthProblem.invalidClient), ("bad_refresh_token", .invalidGrant),
        ] {
            #expect(Self.problem(try Self.read(200, #"{"error":"\#(word)"}"#)) == problem)
        }
        let pending = try Self.read(200, #"{"error":"authorization_pending"}"#, kind: .devicePoll)
        #expect(Self.problem(pending) == .authorizationPending)
    }

    @Test(arguments: [
        (#""3600""#, UInt64(3600)), ("3599.9", 3599), (#""1800.0""#, 1800), ("0", 0),
        ("99999999999999999999", OAuthReply.Limit.seconds),
    ])
    func winbooksAndOthersWriteLivesInTheirOwnWay(text: String, seconds: UInt64) throws {
        let answer = try Self.read(200, #"{"access_token":"a","expires_in":\#(text)}"#)
        #expect(answer.reply.expiresIn == seconds)
    }

    @Test(arguments: ["-1", "1e9", #""soon""#, "true", "null", "[]", #""""#, #"" 5""#])
    func aLifeThatIsNoneIsLeftOutAndTheTokenKept(text: String) throws {
        let answer = try Self.read(200, #"{"access_token":"a","expires_in":\#(text)}"#)
        #expect(answer.reply.outcome == .granted && answer.reply.expiresIn == nil)
    }

    @Test func salesforceSaysWhereItIsAndNotForHowLong() throws {
        let answer = try Self.read(
            200,
            """
            {"access_token":"00Dx!AQ","instance_url":"https://yourInstance.salesforce.com","token_type":"Bearer",
             "id":"https://login.salesforce.com/id/00Dx/005x","issued_at":"1278448384422","signature":"SSSbLO="}
            """
        ) { $0.learns = [.init("instance_url", "instance_url"), .init("missing", "nothing.here")] }
        #expect(answer.reply.expiresIn == nil && answer.reply.learnt.count == 1)
        #expect(answer.reply.value("instance_url") == "https://yourInstance.salesforce.com")
        #expect(answer.secrets[.refreshToken] == nil)
    }

    @Test(arguments: ["refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"])
    func quickBooksAndOthersSayHowLongARefreshTokenLives(name: String) throws {
        let answer = try Self.read(200, #"{"access_token":"a","refresh_token":"r","\#(name)":8726400}"#)
        #expect(answer.reply.refreshExpiresIn == 8_726_400)
    }

    @Test func paypalGivesTheSameTokenWithLessTimeLeft() throws {
        for seconds in ["31668", "120"] {
            let answer = try Self.read(
                200,
                #"{"scope":"https://uri.paypal.com/x","access_token":"A21","token_type":"Bearer","expires_in":\#(seconds)}"#,
                kind: .clientCredentials
            )
            #expect(Self.text(answer, .accessToken) == "A21" && answer.reply.expiresIn == UInt64(seconds))
        }
    }

    @Test func mondayPutsFailuresInAList() throws {
        let body = """
            {"data":null,"errors":[{"message":"Not Authenticated","extensions":{"code":"NotAuthenticated"}}]}
            """
        let probe = try Self.read(200, body, kind: .probe) { $0.quirks = .errorsIn200 }
        #expect(Self.problem(probe) == .invalidToken && probe.reply.error == "notauthenticated")
        #expect(Self.problem(try Self.read(200, body)) == .invalidGrant)
        let fine = try Self.read(200, #"{"data":{"me":{"id":"1"}},"errors":[]}"#, kind: .probe) {
            $0.quirks = .errorsIn200
            $0.learns = [.init("me", "data.me.id")]
        }
        #expect(fine.reply.value("me") == "1")
        let words = try Self.read(401, #"{"errors":["Not Authenticated"]}"#, kind: .probe)
        #expect(Self.problem(words) == .invalidToken && words.reply.error == nil)
    }

    @Test func zohoSaysWhereItsInterfaceIsAndErrorsWith200() throws {
        let answer = try Self.read(
            200,
            #"{"access_token":"1000.a","api_domain":"https://www.zohoapis.eu","token_type":"Bearer","expires_in":3600}"#
        ) { $0.learns = [.init("api_domain", "api_domain")] }
        #expect(answer.reply.value("api_domain") == "https://www.zohoapis.eu")
        #expect(Self.problem(try Self.read(200, #"{"error":"invalid_code"}"#)) == .invalidGrant)
        #expect(Self.problem(try Self.read(200, #"{"error":"invalid_client_secret"}"#)) == .invalidClient)
    }

    @Test func jiraAndXeroListWhatSomebodyMustChooseFrom() throws {
        let jira = try Self.read(
            200,
            """
            [{"id":"1324a887","name":"Site one","url":"https://one.atlassian.net","scopes":["read:jira-work"]},
             {"id":"5f1c","name":"Deuxième"}]
            """,
            kind: .probe
        ) { $0.learns = [.init("cloudid", "*.id"), .init("cloud_name", "*.name"), .init("url", "*.url")] }
        #expect(
            jira.reply.learnt == [
                .init(name: "cloudid", index: 0, value: "1324a887"), .init(name: "cloudid", index: 1, value: "5f1c"),
                .init(name: "cloud_name", index: 0, value: "Site one"),
                .init(name: "cloud_name", index: 1, value: "Deuxième"),
                .init(name: "url", index: 0, value: "https://one.atlassian.net"),
            ]
        )
        // An empty list with a good token is no refusal: nothing is learnt.
        let xero = try Self.read(200, "[]", kind: .probe) { $0.learns = [.init("tenant_id", "*.tenantId")] }
        #expect(xero.reply.outcome == .granted && xero.reply.learnt.isEmpty)
        let second = try Self.read(200, #"[{"id":1},{"id":22}]"#, kind: .probe) { $0.learns = [.init("id", "1.id")] }
        #expect(second.reply.value("id") == "22")
    }

    @Test func aRevocationMayAnswerAnything() throws {
        #expect(try Self.read(200, "", kind: .revoke, type: nil).reply.outcome == .granted)
        #expect(try Self.read(204, "", kind: .revoke, type: nil).reply.outcome == .granted)
        // Discord
        #expect(try Self.read(200, "{}", kind: .revoke).reply.outcome == .granted)
        // Google of a token that has ended before
        let ended = try Self.read(
            400,
            #"{"error":"invalid_token","error_description":"Token expired or revoked"}"#,
            kind: .revoke
        )
        #expect(Self.problem(ended) == .invalidToken)
        #expect(Self.problem(try Self.read(404, "{}", kind: .revoke)) == .refused)
        #expect(Self.problem(try Self.read(401, "", kind: .revoke)) == .invalidToken)
        let client = try Self.read(401, "", kind: .revoke) { $0.authentication = .basic }
        #expect(Self.problem(client) == .invalidClient)
    }

    @Test func aPageForPeopleIsNoAnswer() throws {
        let page = "\n<!DOCTYPE html><html><body>Sign in</body></html>"
        for status in [200, 403, 502] {
            #expect(Self.problem(try Self.read(status, page, type: "text/html")) == .temporary)
        }
        #expect(Self.problem(try Self.read(200, page, kind: .probe, type: "text/html")) == .temporary)
        #expect(Self.problem(try Self.read(200, "Sign in", type: "text/html; charset=utf-8")) == .temporary)
        #expect(Self.problem(try Self.read(401, page, kind: .probe, type: "text/html")) == .invalidToken)
    }

    @Test(arguments: [429, 408, 500, 502, 503, 504, 599])
    func aServerThatIsNotWellIsBelievedAboutNothingElse(status: Int) throws {
        #expect(Self.problem(try Self.read(status, #"{"error":"invalid_grant"}"#)) == .temporary)
        #expect(Self.problem(try Self.read(status, "")) == .temporary)
    }

    @Test(arguments: [300, 301, 302, 303, 307, 308, 399])
    func aRedirectIsNotAnAnswerWhateverItHolds(status: Int) throws {
        #expect(Self.problem(try Self.read(status, #"{"access_token":"a"}"#)) == .redirected)
    }

    @Test(arguments: [
        "", "{}", "[]", "null", "{", "access_token", "{\"access_token\":\"a\"", "{\"access_token\":5}",
        "{\"access_token\":\"\"}", "{\"access_token\":null}", "{\"access_token\":\"a\\nb\"}",
        "{\"access_token\":\"\u{e9}\"}", "{\"access_token\":[\"a\"]}", "{\"access_token\":\"a\"}{}",
        "{\"access_token\":\"a\",\"access_token\":\"b\"}", "{\"access_token\":\"a\",\"expires_in\":1,\"expires_in\":2}",
        "{\"access_token\":\"a\",\"\\u0061ccess_token\":\"b\"}", "access_token=a&access_token=b", "access_token=%4",
        "access_token=%zz", "\u{feff}{\"access_token\":\"a\"}", "{\"data\":{\"access_token\":\"a\"}}",
        "{\"access_token\":\"a\",\"refresh_token\":\"b\\u0000\"}", "{'access_token':'a'}",
    ])
    func whatIsNoTokenAnswerIsMalformed(body: String) throws {
        let answer = try Self.read(200, body)
        #expect(Self.problem(answer) == .malformed && answer.secrets.isEmpty)
    }

    @Test func deepOrCrowdedJSONIsRefused() throws {
        let deep = String(repeating: #"{"a":"#, count: 5000) + "1" + String(repeating: "}", count: 5000)
        #expect(Self.problem(try Self.read(200, #"{"access_token":"a","x":\#(deep)}"#)) == .malformed)
        let crowd = (0..<60_000).map { "\"k\($0)\":1" }.joined(separator: ",")
        #expect(Self.problem(try Self.read(200, #"{"access_token":"a",\#(crowd)}"#)) == .malformed)
    }

    @Test func aTokenInAnErrorCountsOnlyWhereThatIsKnown() throws {
        let body = #"{"access_token":"a","error":"partial"}"#
        for status in [200, 400] {
            #expect(Self.problem(try Self.read(status, body)) == .refused)
            let known = try Self.read(status, body) { $0.quirks = .tokensInErrors }
            #expect(Self.text(known, .accessToken) == "a")
        }
    }

    @Test(arguments: [#""""#, "null", "false", "[]", "{}", "0"])
    func anErrorThatIsEmptyIsNone(value: String) throws {
        #expect(try Self.read(200, #"{"error":\#(value),"access_token":"a"}"#).reply.outcome == .granted)
        #expect(try Self.read(200, #"{"errors":\#(value),"access_token":"a"}"#).reply.outcome == .granted)
    }

    @Test(arguments: [
        ("invalid_request", OAuthProblem.invalidRequest), ("invalid_client", .invalidClient),
        ("invalid_grant", .invalidGrant), ("unauthorized_client", .unauthorizedClient),
        ("unsupported_grant_type", .unsupportedGrantType), ("invalid_scope", .invalidScope),
        ("access_denied", .accessDenied), ("temporarily_unavailable", .temporary), ("expired_token", .invalidGrant),
        ("something_else", .refused),
    ])
    func theWordsOfTheRFC(word: String, problem: OAuthProblem) throws {
        let answer = try Self.read(400, #"{"error":"\#(word)","error_description":"Secret text"}"#)
        #expect(Self.problem(answer) == problem && answer.reply.error == word)
    }

    @Test func whatAProviderSaysBesidesIsNotKept() throws {
        let answer = try Self.read(400, #"{"error":"Bad token ya29.secret","error_description":"x"}"#)
        #expect(answer.reply.error == nil && Self.problem(answer) == .refused)
        let google = try Self.read(
            401,
            #"{"error":{"code":401,"message":"Request had invalid credentials","status":"UNAUTHENTICATED"}}"#,
            kind: .probe
        )
        #expect(Self.problem(google) == .invalidToken && google.reply.error == "unauthenticated")
        let meta = try Self.read(400, #"{"error":{"message":"x","type":"OAuthException","code":190}}"#, kind: .probe)
        #expect(Self.problem(meta) == .invalidToken)
    }

    @Test func aDeviceStartsAndIsPolled() throws {
        let body = """
            {"device_code":"GmRh","user_code":"WDJB-MJHT","verification_uri":"https://example.com/device",
             "verification_uri_complete":"https://example.com/device?user_code=WDJB-MJHT","expires_in":1800,"interval":5}
            """
        let start = try Self.read(200, body, kind: .deviceStart)
        #expect(Self.text(start, .deviceCode) == "GmRh" && start.reply.userCode == "WDJB-MJHT")
        #expect(start.reply.interval == 5 && start.reply.expiresIn == 1800)
        #expect(start.reply.verificationURIComplete?.hasSuffix("WDJB-MJHT") == true)
        let google = body.replacing("verification_uri\"", with: "verification_url\"")
        #expect(try Self.read(200, google, kind: .deviceStart).reply.verificationURI == "https://example.com/device")
        let evil = body.replacing("https://example.com/device\"", with: "javascript:x\"")
        #expect(Self.problem(try Self.read(200, evil, kind: .deviceStart)) == .malformed)
        for (word, problem) in [
            ("authorization_pending", OAuthProblem.authorizationPending), ("slow_down", .slowDown),
            ("access_denied", .accessDenied), ("expired_token", .expiredToken),
            ("authorization_declined", .accessDenied),
        ] {
            #expect(Self.problem(try Self.read(400, #"{"error":"\#(word)"}"#, kind: .devicePoll)) == problem)
        }
        #expect(Self.problem(try Self.read(429, #"{"error":"slow_down"}"#, kind: .devicePoll)) == .slowDown)
    }

    @Test func trelloAnswersInPlainText() throws {
        let answer = try Self.read(
            200,
            "oauth_token=abc&oauth_token_secret=def&oauth_callback_confirmed=true\n",
            kind: .requestToken,
            type: "text/plain"
        )
        #expect(Self.text(answer, .accessToken) == "abc" && Self.text(answer, .tokenSecret) == "def")
        let half = try Self.read(200, "oauth_token=abc", kind: .accessToken, type: "text/plain")
        #expect(Self.problem(half) == .malformed && half.secrets.isEmpty)
        #expect(
            Self.problem(try Self.read(401, "invalid signature", kind: .accessToken, type: "text/plain"))
                == .invalidClient
        )
    }
}
