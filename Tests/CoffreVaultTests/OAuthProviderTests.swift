import CoffreCatalogue
import CoffreCrypto
import CoffreWire
import Testing

@testable import CoffreVault

/// What is made of the catalogue's facts: addresses, jobs, and what is kept between them.
@Suite struct OAuthProviderTests {
    private static let now = Timestamp(seconds: 1_800_000_000)

    /// A connection with every field filled in as its form shows.
    private static func connection(_ connector: Connector, with more: [String: String] = [:]) -> Connection {
        var connection = Connection(id: "c-1", name: "n", type: connector.id, owner: "e", at: now)
        for field in connector.fields {
            if field.isSecret {
                connection.secrets[field.name] = now
            } else {
                connection.fields[field.name] = field.example?.string ?? field.defaultValue?.string ?? "value"
            }
        }
        connection.fields.merge(more) { $1 }
        return connection
    }

    private static func check(_ job: BrokerOAuth, _ id: String) {
        var job = job
        job.publicKey = [UInt8](repeating: 1, count: 32)
        #expect(throws: Never.self, "\(id)") { try job.validate() }
        #expect(job.target.scheme == .https && !job.target.text.contains("{client"), "\(id)")
    }

    private static let connectors = Catalogue.shared.connectors.filter { $0.oauth != nil }

    @Test func everyProviderOfTheCatalogueCanBeAskedOrIsRefusedInWords() throws {
        var flows: [OAuthGrant.Flow: Int] = [:]
        var refused: [String] = []
        for connector in Self.connectors {
            let learnt = ["instance_url": "https://x.example", "api_domain": "https://y.example", "cloudid": "c"]
            let provider = try OAuthProvider(Self.connection(connector), learnt: learnt)
            if provider.flows.isEmpty { refused.append(connector.id) }
            for flow in provider.flows {
                flows[flow, default: 0] += 1
                guard flow == .service || (try? provider.clientID()) != nil else {
                    refused.append(connector.id)
                    continue
                }
                var grant = OAuthGrant(connection: "c-1", flow: flow, lives: .init(), at: Self.now)
                grant.asked = provider.oauth.scopes
                grant.redirect = "http://127.0.0.1:1/callback"
                if flow != .first { Self.check(try provider.refreshJob(grant), connector.id) }
                switch flow {
                case .code:
                    Self.check(try provider.tokenJob(.exchange), connector.id)
                    let address = try provider.authorization(
                        redirect: "http://127.0.0.1:1/cb?a=b",
                        scopes: provider.oauth.scopes,
                        state: "s",
                        challenge: provider.oauth.pkce == .unsupported ? nil : "c"
                    )
                    #expect(
                        address.hasPrefix("https://") && address.contains("redirect_uri=http%3A%2F%2F127.0.0.1%3A1")
                    )
                    #expect(address.utf8.allSatisfy { (0x21...0x7e).contains($0) }, "\(connector.id)")
                    #expect(address.matches(of: /response_type=/).count == 1, "\(connector.id)")
                case .first:
                    Self.check(try provider.temporaryJob(callback: "http://127.0.0.1:1/cb?state=s"), connector.id)
                    Self.check(try provider.firstJob(), connector.id)
                    let address = try provider.firstAuthorization(token: "t&t", scopes: ["read", "write"])
                    #expect(address.hasPrefix("https://trello.com/1/OAuthAuthorizeToken?oauth_token=t%26t&"))
                    #expect(address.contains("expiration=30days") && address.contains("scope=read%2Cwrite"))
                    #expect(throws: VaultError.self) { try provider.refreshJob(grant) }
                case .service: Self.check(try provider.serviceJob(provider.oauth.scopes), connector.id)
                case .client: Self.check(try provider.clientJob(provider.oauth.scopes), connector.id)
                case .device:
                    Self.check(try provider.tokenJob(.deviceStart, at: provider.oauth.deviceURL), connector.id)
                    Self.check(try provider.tokenJob(.devicePoll), connector.id)
                }
            }
            if (try? provider.clientID()) != nil {
                switch try provider.revokeJob() {
                case .refreshToken(let job), .accessToken(let job): Self.check(job, connector.id)
                case nil: break
                }
            }
            for call in provider.oauth.learns where call.source == .call {
                Self.check(try provider.valueJob(call), connector.id)
            }
            if let job = try provider.probeJob() { Self.check(job, connector.id) }
        }
        #expect((flows[.code] ?? 0) >= 25 && (flows[.client] ?? 0) >= 10 && (flows[.device] ?? 0) >= 5)
        #expect((flows[.service] ?? 0) == 5 && (flows[.first] ?? 0) == 1)
        #expect(Set(refused) == ["stripe"])
    }

    @Test func whereTheClientProvesItselfIsTheProvidersChoice() throws {
        func authentication(_ id: String, secret: Bool = true) throws -> BrokerOAuth.ClientAuthentication {
            let connector = try #require(Catalogue.shared[id])
            var connection = Self.connection(connector)
            if !secret { connection.secrets = [:] }
            return try OAuthProvider(connection).tokenJob(.exchange).authentication
        }
        #expect(try authentication("gitlab") == .basic && authentication("gitlab", secret: false) == .none)
        #expect(try authentication("box") == .post && authentication("bitbucket") == .basic)
        #expect(try authentication("winbooks") == .basicAlone)
        let notion = try OAuthProvider(Self.connection(try #require(Catalogue.shared["notion"])))
        #expect(try notion.tokenJob(.exchange).body == .json)
        let slack = try OAuthProvider(Self.connection(try #require(Catalogue.shared["slack"])))
        #expect(try slack.tokenJob(.refresh).quirks.contains(.errorsIn200))
        let meta = try OAuthProvider(Self.connection(try #require(Catalogue.shared["whatsapp-business"])))
        let grant = OAuthGrant(connection: "c-1", flow: .code, lives: .init(), at: Self.now)
        #expect(try meta.refreshJob(grant).grantType == "fb_exchange_token")
        let adp = try OAuthProvider(Self.connection(try #require(Catalogue.shared["adp"])))
        #expect(try adp.clientJob([]).clientCertificate != nil)
    }

    @Test(arguments: ["a/b", "a?b", "a#b", "a@b", "a%2fb", "a b", "a\\b", "é", "{x}", "a\r\nb", ""])
    func noFieldLeadsElsewhere(_ text: String) throws {
        let gitlab = try #require(Catalogue.shared["gitlab"])
        let provider = try OAuthProvider(Self.connection(gitlab, with: ["hostname": text]))
        if text.isEmpty {
            #expect(throws: VaultError.self) { try provider.target(provider.oauth.tokenURL) }
        } else {
            #expect(throws: VaultError.self) { try provider.fill(provider.oauth.tokenURL) }
        }
        let salesforce = try #require(Catalogue.shared["salesforce"])
        let learnt = ["instance_url": "https://evil.example@" + text]
        let other = try OAuthProvider(Self.connection(salesforce), learnt: learnt)
        #expect(throws: VaultError.self) { try other.probeJob() }
    }

    @Test func anIssuerIsTheProviderOrNobody() throws {
        let gitlab = try #require(Catalogue.shared["gitlab"])
        let provider = try OAuthProvider(Self.connection(gitlab, with: ["hostname": "git.example:8443"]))
        for good in ["https://git.example:8443", "https://GIT.example:8443/", "https://git.example:8443/oauth"] {
            #expect(provider.isIssuer(good), "\(good)")
        }
        for bad in [
            "https://git.example", "http://git.example:8443", "https://git.example:8443.evil.example", "",
            "git.example",
            "https://evil.example/https://git.example:8443", "https://git.example:8443@evil.example",
        ] { #expect(!provider.isIssuer(bad), "\(bad)") }
    }

    @Test func whoHasAKeyAndNoClientMeansTheKey() throws {
        func first(_ id: String, _ secrets: [String]) throws -> OAuthGrant.Flow? {
            var connection = Self.connection(try #require(Catalogue.shared[id]))
            connection.secrets = Dictionary(uniqueKeysWithValues: secrets.map { ($0, Self.now) })
            return try OAuthProvider(connection).flows.first
        }
        #expect(try first("google-drive", ["service_account_key"]) == .service)
        #expect(try first("google-drive", ["service_account_key", "client_secret"]) == .code)
        #expect(try first("google-drive", []) == .code && first("google-cloud", []) == .service)
        // What is not entered is named before anything leaves.
        var empty = Self.connection(try #require(Catalogue.shared["salesforce"]))
        for (field, named) in [("username", "username"), ("client_id", "client_id"), ("private_key", "private_key")] {
            var connection = empty
            connection.fields[field] = nil
            connection.secrets[field] = nil
            let error = #expect(throws: VaultError.self) {
                try OAuthProvider(connection, flow: .service).serviceJob([])
            }
            #expect(error?.message.contains(named) == true)
        }
        empty.fields["client_id"] = ""
        #expect(throws: VaultError.self) { try OAuthProvider(empty, flow: .service).serviceJob([]) }
    }

    @Test func aClientWithACertificateSendsNoSecret() throws {
        let azure = Self.connection(try #require(Catalogue.shared["azure"]))
        let job = try OAuthProvider(azure).clientJob(["s"])
        #expect(job.authentication == .assertion && job.assertion?.issuer == job.clientID)
        #expect(job.assertion?.audience == job.target.text && job.secrets.required == [.privateKey])
        var plain = azure
        plain.secrets["client_certificate"] = nil
        #expect(try OAuthProvider(plain).clientJob([]).authentication == .basic)
    }

    @Test func aChoiceIsMeantByItsValueOrItsName() {
        let site = OAuthGrant.Choice(value: "c-1", title: "https://un.atlassian.net")
        for text in ["c-1", "https://un.atlassian.net", "un.atlassian.net"] { #expect(site.isMeant(by: text)) }
        for text in ["c-10", "C-1", "", "https://", "un.atlassian.net.evil.example"] {
            #expect(!site.isMeant(by: text))
        }
        #expect(OAuthGrant.Choice(["title": "t"]) == nil && OAuthGrant.Choice(site.json) == site)
    }

    @Test func whatIsKeptIsReadAgain() throws {
        var grant = OAuthGrant(connection: "c-1", flow: .device, lives: .init(refreshIdle: 5), at: Self.now)
        var random = SeededGenerator(3)
        let answer = OAuthLifecycle.Answer(expiresIn: 60, refreshExpiresIn: 90, renewal: .refreshToken)
        _ = grant.life.handle(.consented(answer), at: Self.now, using: &random)
        _ = grant.life.handle(.forced, at: Self.now, using: &random)
        _ = grant.life.handle(.failed(.temporary, retryAfter: 7, generation: 1), at: Self.now, using: &random)
        grant.asked = ["a", "b"]
        grant.granted = ["a"]
        grant.learnt = ["realm_id": "1"]
        grant.choices = ["cloudid": [.init(value: "c", title: "t"), .init(value: "d", title: nil)]]
        grant.redirect = "http://127.0.0.1:1/cb"
        grant.tokenType = "bearer"
        grant.entity = "e"
        grant.revocation = "r"
        let again = try OAuthGrant(connection: "c-1", decoding: grant.encoded, lives: grant.life.lives)
        #expect(
            again.life == grant.life && again.encoded.withBytes { Array($0) } == grant.encoded.withBytes { Array($0) }
        )
        #expect(again.missing == ["b"] && again.choices == grant.choices)
        var errand = OAuthErrand(.consent, "c-1", 4)
        errand.flow = .client
        errand.asked = ["x"]
        errand.learnt = ["k": "v"]
        errand.redirect = "https://r.example/"
        errand.entity = "e"
        errand.connectionGeneration = 9
        #expect(OAuthErrand(errand.encoded)?.encoded == errand.encoded)
        // Damaged bytes are no grant and no errand, or another one; never a crash.
        for bytes in [grant.encoded.withBytes { Array($0) }, errand.encoded] {
            for _ in 0..<2000 {
                var damaged = bytes
                damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                _ = OAuthErrand(damaged)
                _ = try? OAuthGrant(connection: "c-1", decoding: SharedSecret(copying: damaged), lives: .init())
            }
        }
        #expect(OAuthErrand([]) == nil && OAuthErrand(Array("{}".utf8)) == nil)
    }

    @Test func redirectsAreLoopbackOrHTTPS() {
        for good in [
            "http://127.0.0.1:8400/callback", "http://[::1]:1/", "http://localhost/callback", "https://a.example/cb",
        ] {
            #expect(Vault.isRedirect(good), "\(good)")
        }
        for bad in [
            "http://a.example/", "http://127.0.0.1.evil.example/", "ftp://127.0.0.1/", "https://a/#f", "javascript:1",
            "",
        ] {
            #expect(!Vault.isRedirect(bad), "\(bad)")
        }
    }
}
