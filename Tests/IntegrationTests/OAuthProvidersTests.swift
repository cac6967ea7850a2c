import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// Ways of connecting that only some providers have, against what their pages document.
@Suite(.serialized, .enabled(if: geteuid() == 0))
struct OAuthProvidersTests {
    private static func keyFile(_ pem: String, email: String = "svc@p.iam.gserviceaccount.com") throws -> String {
        let members = [
            "type": "service_account", "private_key_id": "k-1", "private_key": pem, "client_email": email,
            "token_uri": "https://evil.example/token",
        ]
        return String(decoding: try JSONSerialization.data(withJSONObject: members), as: UTF8.self)
    }

    // MARK: accounts that sign

    @Test func aGoogleAccountOfAServiceSignsForItsTokens() throws {
        let stage = try ProviderStage()
        let fields = ["service_account_key": try Self.keyFile(try stage.key("google"))]
        try stage.connection("drive", "google-drive", fields)
        // No person is asked: whoever has entered a key and no client means the key.
        let done = try stage.start("drive")
        let shown = try #require(done.data["oauth"] as? [String: Any])
        #expect(shown["flow"] as? String == "service" && shown["renewal"] as? String == "client")
        #expect(shown["consent_due"] is NSNull && shown["state"] as? String == "healthy")
        let (first, answer) = try stage.token("drive")
        #expect((3500...3600).contains(answer.json["lease_duration"] as? Int ?? 0))
        #expect(answer.data["scopes"] as? [String] == ["https://www.googleapis.com/auth/drive.readonly"])
        #expect(try stage.works("drive"))
        #expect(try stage.token("drive").token == first)
        // A new statement each time: the server takes none twice.
        try stage.people.ask("POST", "connectors/connections/drive/rotate", as: "sarah", expect: [204])
        #expect(try stage.token("drive").token != first)
        // For a person of the domain, and for nobody whom the account may not act for.
        try stage.connection("mail", "gmail", fields.merging(["delegated_user": "benali@votreentreprise.dz"]) { $1 })
        try stage.start("mail")
        try stage.connection("other", "gmail", fields.merging(["delegated_user": "autre@votreentreprise.dz"]) { $1 })
        #expect(try stage.start("other", expect: [400]).text.contains("unauthorized_client"))
        // Its end: the provider does not end such tokens, which is said.
        try stage.delete("drive")
        #expect(stage.vault.output.contains("still lives until it ends by itself"))
        try stage.expectSecrecy()
    }

    @Test func anotherKeyCountsAtOnceAndAWrongOneIsTold() throws {
        let stage = try ProviderStage()
        let right = try Self.keyFile(try stage.key("google"))
        try stage.connection("drive", "google-drive", ["service_account_key": right])
        try stage.start("drive")
        let first = try stage.token("drive").token
        func enter(_ key: String) throws {
            try stage.people.ask(
                "POST",
                "connectors/connections/drive",
                ["fields": ["service_account_key": key]],
                as: "sarah"
            )
        }
        try enter(try Self.keyFile(try stage.key("wrong")))
        // What was had by the former key is not handed out any more.
        let refused = try stage.people.ask("GET", "connectors/creds/drive", as: "sarah", expect: [400, 502])
        #expect(refused.text.contains("invalid_grant"), "\(refused.text)")
        try enter(
            try Self.keyFile(try String(contentsOfFile: stage.folder.file("google.key"), encoding: .utf8), email: "x@y")
        )
        #expect(try stage.people.status("GET", "connectors/creds/drive", as: "sarah") >= 400)
        try enter(right)
        let second = try stage.token("drive").token
        #expect(second != first)
        #expect(try stage.grant("drive")["state"] as? String == "healthy")
        for bad in ["{}", try Self.keyFile("no key"), try Self.keyFile(try stage.key("short", bits: 1024))] {
            try enter(bad)
            #expect(try stage.people.status("GET", "connectors/creds/drive", as: "sarah") >= 400)
        }
        try stage.expectSecrecy()
    }

    @Test func salesforceTakesStatementsForAUser() throws {
        let stage = try ProviderStage()
        var fields = ["client_id": "3MVG9dAEux2v1sLsg0e52", "private_key": try stage.key("salesforce")]
        try stage.connection("crm", "salesforce", fields)
        // It says for whom, and which scopes is decided at the provider.
        #expect(try stage.start("crm", ["flow": "service"], expect: [400]).text.contains("username"))
        fields["username"] = "integration@acme.com"
        try stage.connection("crm", "salesforce", fields)
        #expect(
            try stage.start("crm", ["flow": "service", "scopes": ["api"]], expect: [400]).text.contains("no scopes")
        )
        let done = try stage.start("crm", ["flow": "service"])
        #expect((done.data["oauth"] as? [String: Any])?["scopes_granted"] as? [String] == ["api"])
        let (_, answer) = try stage.token("crm")
        #expect((answer.data["values"] as? [String: String])?["instance_url"] == "https://acme.my.salesforce.com")
        #expect(try stage.works("crm"))
        try stage.delete("crm")
        #expect(stage.vault.output.contains("the access token is dead"))
        try stage.expectSecrecy()
    }

    @Test func aClientProvesItselfByItsCertificate() throws {
        let stage = try ProviderStage()
        let key = try stage.key("microsoft")
        let script = """
            cd "$1" && openssl req -x509 -key microsoft.key -out microsoft.crt -days 2 -subj /CN=coffre \
            && openssl x509 -in microsoft.crt -outform DER -out microsoft.der
            """
        #expect(try RunningProcess.run("/bin/sh", ["-c", script, "sh", stage.folder.path]).status == 0)
        let certificate = try String(contentsOfFile: stage.folder.file("microsoft.crt"), encoding: .utf8)
        let fields = [
            "tenant_id": "11111111-2222-3333-4444-555555555555", "client_id": "66666666-7777-8888-9999-000000000000",
            "client_certificate": certificate + key,
        ]
        try stage.connection("cloud", "azure", fields)
        try stage.start("cloud")
        _ = try stage.token("cloud")
        #expect(try stage.works("cloud"))
        try stage.people.ask("POST", "connectors/connections/cloud/rotate", as: "sarah", expect: [204])
        let broken = certificate.replacing("-----END CERTIFICATE-----", with: "") + key
        try stage.people.ask(
            "POST",
            "connectors/connections/cloud",
            ["fields": ["client_certificate": broken], "verify": false],
            as: "sarah",
            expect: [200, 400]
        )
        try stage.expectSecrecy()
    }

    // MARK: OAuth 1.0a

    /// What the browser of a person who agrees brings back.
    private static func agree(_ stage: ProviderStage, _ begun: UnixHTTP.Answer) throws -> [String: String] {
        let address = try #require(begun.data["authorization_url"] as? String)
        #expect(address.hasPrefix("https://trello.com/1/OAuthAuthorizeToken?oauth_token="))
        let page = try stage.curl(address)
        let location = try #require(page.firstMatch(of: /Location: (\S+)/)?.1, "\(page)")
        let items = URLComponents(string: String(location))?.queryItems ?? []
        return Dictionary(items.map { ($0.name, $0.value ?? "") }, uniquingKeysWith: { $1 })
    }

    @Test func trelloIsConnectedByTheFirstProtocol() throws {
        let stage = try ProviderStage()
        let fields = ["api_key": "0123456789abcdef0123456789abcdef", "api_secret": String(repeating: "5", count: 64)]
        try stage.connection("board", "trello", fields)
        func complete(_ callback: [String: String], as person: String = "sarah") throws -> Int {
            try stage.people.status("POST", "connectors/oauth/complete", callback, as: person)
        }
        let callback = try Self.agree(stage, try stage.start("board"))
        #expect(Set(callback.keys) == ["state", "oauth_token", "oauth_verifier"])
        #expect(try complete(callback, as: "amine") == 403)
        #expect(try complete(callback) == 200)
        #expect(try complete(callback) == 400)
        // Another token, another verifier, none at all: each ends that consent.
        for change in [["oauth_token": "another-token-of-somebody"], ["oauth_verifier": "not-the-verifier-at-all"]] {
            #expect(try complete(try Self.agree(stage, try stage.start("board")).merging(change) { $1 }) == 400)
        }
        var half = try Self.agree(stage, try stage.start("board"))
        half["oauth_verifier"] = nil
        #expect(try complete(half) == 400)

        let (token, answer) = try stage.token("board")
        #expect(
            answer.data["consumer_key"] as? String == fields["api_key"]
                && answer.data["token_type"] as? String == "OAuth"
        )
        // Exactly what a service needs by the documentation: no secret that signs.
        #expect(!answer.text.contains("proof") && !answer.text.contains("token_secret"))
        let header = "Authorization: OAuth oauth_consumer_key=\"\(fields["api_key"] ?? "")\", oauth_token=\"\(token)\""
        let me = "https://api.trello.com/1/members/me?fields=id,username"
        #expect(try stage.curl(me, ["-H", header]).contains("amine"))
        #expect(try stage.works("board"))
        // Thirty days and no refresh: a person is told in time.
        let grant = try stage.grant("board")
        #expect(grant["renewal"] as? String == "none" && grant["consent_due"] is String)
        #expect(try stage.people.status("POST", "connectors/connections/board/rotate", as: "sarah") == 400)
        // Connecting again ends the former token.
        #expect(try complete(try Self.agree(stage, try stage.start("board"))) == 200)
        #expect(try stage.curl(me, ["-H", header]).contains("401"))
        let next = header.replacing(token, with: try stage.token("board").token)
        #expect(try stage.curl(me, ["-H", next]).contains("amine"))
        try stage.delete("board")
        #expect(try stage.curl(me, ["-H", next]).contains("401"))
        #expect(stage.vault.output.contains("the access token is dead"))
        #expect(try stage.log("api.trello.com").contains("DELETE /1/tokens/TOKEN 200"))
        try stage.expectSecrecy()
    }

    @Test func aProviderThatDoesNotConfirmTheCallbackGetsNoConsent() throws {
        let stage = try ProviderStage()
        let fields = ["api_key": "0123456789abcdef0123456789abcdef", "api_secret": String(repeating: "5", count: 64)]
        try stage.connection("board", "trello", fields)
        for body in [
            "oauth_token=abcdefghijklmnop&oauth_token_secret=s", "oauth_token=abcdefghijklmnop",
            "oauth_token=a&oauth_token_secret=s&oauth_callback_confirmed=false", "",
        ] {
            try stage.fault("trello.com/1/OAuthGetRequestToken", body)
            #expect(try stage.start("board", expect: [400, 502]).data["state"] == nil, "\(body)")
        }
        try stage.connection(
            "board",
            "trello",
            fields.merging(["api_secret": String(repeating: "6", count: 64)]) { $1 }
        )
        #expect(try stage.start("board", expect: [400, 502]).data["state"] == nil)
        try stage.expectSecrecy()
    }

    // MARK: values that need a call

    @Test func whatATokenIsForIsAskedAndChosen() throws {
        let stage = try ProviderStage()
        let client = ["client_id": "client", "client_secret": ProviderStage.secret]
        try stage.connection("books", "xero", client)
        let one = try stage.consent("books", "code-xero")
        #expect(one.json["warnings"] is NSNull || (one.json["warnings"] as? [String])?.isEmpty == true)
        let tenant = "70784a63-d24b-46a9-a4db-0e70a274b056"
        #expect((try stage.token("books").answer.data["values"] as? [String: String])?["tenant_id"] == tenant)

        try stage.connection("tickets", "jira", client)
        let two = try stage.consent("tickets", "code-atlassian")
        let warning = try #require((two.json["warnings"] as? [String])?.first)
        #expect(warning.contains("cloudid") && warning.contains("https://deux.atlassian.net"))
        #expect((try stage.token("tickets").answer.json["warnings"] as? [String])?.first == warning)
        func choose(_ text: String) throws -> [String: String] {
            let body = ["fields": ["cloudid": text]]
            try stage.people.ask("POST", "connectors/connections/tickets", body, as: "sarah")
            return try #require(try stage.grant("tickets")["values"] as? [String: String])
        }
        // By its address, with or without the scheme, or by its id; what is not in the list is nothing.
        #expect(try choose("https://deux.atlassian.net")["cloudid"] == "c-2")
        #expect(try choose("un.atlassian.net")["cloudid"] == "c-1")
        #expect(try choose("c-3")["cloudid"] == nil)
        #expect(try choose("c-2")["cloudid"] == "c-2")
        // Choosing leaves client and tokens alone; the catalogue's trial can be made now.
        #expect(try stage.grant("tickets")["state"] as? String == "healthy")
        #expect(try stage.works("tickets"))
        try stage.people.ask("POST", "connectors/connections/tickets/rotate", as: "sarah", expect: [204])
        #expect((try stage.token("tickets").answer.data["values"] as? [String: String])?["cloudid"] == "c-2")

        // A list that does not come costs no consent and is asked for again.
        try stage.fault("api.xero.com/connections", status: 503, ["error": "x"])
        let late = try stage.consent("books", "code-xero")
        #expect((late.json["warnings"] as? [String])?.first?.contains("could not be asked yet") == true)
        try stage.people.ask("POST", "connectors/connections/books/rotate", as: "sarah", expect: [204])
        #expect((try stage.token("books").answer.data["values"] as? [String: String])?["tenant_id"] == tenant)
        for body: Any in [[], ["x": 1], [["tenantId": ["a"]]], [["tenantId": String(repeating: "x", count: 4000)]]] {
            try stage.fault("api.xero.com/connections", body)
            let odd = try stage.consent("books", "code-xero")
            #expect((odd.json["warnings"] as? [String])?.first?.contains("for nothing") == true, "\(body): \(odd.text)")
        }
        try stage.expectSecrecy()
    }

    // MARK: ends

    /// The type, the code that its server takes, where it ends tokens, and how it refuses inside a 200 or beside it.
    struct Ending: Sendable {
        let type: String
        let code: String
        let call: String
        let place: String
        let status: Int
        let refusal: String
    }

    private static let endings = [
        Ending(
            type: "slack",
            code: "code-slack",
            call: "POST /api/auth.revoke 200",
            place: "slack.com/api/auth.revoke",
            status: 200,
            refusal: #"{"ok":false,"error":"fatal_error"}"#
        ),
        Ending(
            type: "dropbox",
            code: "code-dropbox",
            call: "POST /2/auth/token/revoke 200",
            place: "api.dropboxapi.com/2/auth/token/revoke",
            status: 503,
            refusal: #"{"error_summary":"internal_error"}"#
        ),
        Ending(
            type: "github",
            code: "code-github",
            call: "DELETE /applications/client/grant 204",
            place: "api.github.com/applications/client/grant",
            status: 422,
            refusal: #"{"message":"Validation Failed"}"#
        ),
    ]

    @Test(arguments: endings)
    func callsOfTheirOwnEndTokens(_ given: Ending) throws {
        let stage = try ProviderStage()
        let host = String(given.place.split(separator: "/")[0])
        let client = [
            "client_id": "client", "client_secret": ProviderStage.secret,
        ]
        try stage.connection("it", given.type, client)
        try stage.consent("it", given.code)
        #expect(try stage.works("it"))
        // A refusal leaves everything as it was, and is told.
        let body = try JSONSerialization.jsonObject(with: Data(given.refusal.utf8))
        try stage.fault(given.place, status: given.status, body)
        let refused = try stage.delete("it", expect: [202])
        #expect(refused.text.contains("did not revoke"), "\(refused.text)")
        try stage.delete("it")
        #expect(try stage.log(host).contains(given.call))
        #expect(stage.vault.output.contains("the access token is dead"), "\(stage.vault.output)")
        try stage.expectSecrecy()
    }

    @Test func tokensOfAFormerClientAreEndedWhereTheyWere() throws {
        let stage = try ProviderStage()
        let client = ["client_id": "client", "client_secret": ProviderStage.secret]
        try stage.connection("chat", "slack", client)
        try stage.consent("chat", "code-slack")
        let change = ["fields": ["client_id": "other", "client_secret": ProviderStage.secret]]
        let changed = try stage.people.ask("POST", "connectors/connections/chat", change, as: "sarah")
        #expect(try stage.grant("chat")["state"] as? String == "needs-consent")
        #expect((changed.json["warnings"] as? [String])?.contains { $0.contains("could not be ended") } == false)
        #expect(try stage.log("slack.com").contains("POST /api/auth.revoke 200"))
        #expect(stage.vault.output.contains("former tokens were ended"))
        // Where the provider is away, the change is made all the same, and what is left is told.
        try stage.people.ask("POST", "connectors/connections/chat", ["fields": client], as: "sarah")
        try stage.consent("chat", "code-slack")
        try stage.fault("slack.com/api/auth.revoke", status: 503, [:])
        let late = try stage.people.ask("POST", "connectors/connections/chat", change, as: "sarah")
        #expect(
            (late.json["warnings"] as? [String])?.contains { $0.contains("end them there") } == true,
            "\(late.text)"
        )
        try stage.expectSecrecy()
    }
}
