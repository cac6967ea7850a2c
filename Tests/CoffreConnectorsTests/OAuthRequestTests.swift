import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

@testable import CoffreConnectors

/// What is sent, byte for byte.
@Suite struct OAuthRequestTests {
    private static let url = "https://id.example/token"

    private static func body(_ request: OAuthRequest) -> String? {
        request.body.map { String(decoding: $0, as: UTF8.self) }
    }

    private static func header(_ request: OAuthRequest, _ name: String) -> String? {
        request.headers.first { $0.name == name }?.value
    }

    @Test func aCodeIsExchangedWithItsProofKey() throws {
        let job = try OAuthJobBytes.job(.exchange, Self.url) {
            $0.clientID = "id"
            $0.authentication = .post
            $0.parameters = [.init("redirect_uri", "http://127.0.0.1:8400/cb?a=b&c")]
        }
        let request = try OAuthJobBytes.request(job, [.grant: "c/d+e", .verifier: "proof~", .clientSecret: "s&t"])
        #expect(
            Self.body(request)
                == "grant_type=authorization_code&code=c%2Fd%2Be&code_verifier=proof~&client_id=id&client_secret=s%26t"
                + "&redirect_uri=http%3A%2F%2F127.0.0.1%3A8400%2Fcb%3Fa%3Db%26c"
        )
        #expect(Self.header(request, "content-type") == "application/x-www-form-urlencoded")
        #expect(Self.header(request, "accept") == "application/json")
        #expect(Self.header(request, "authorization") == nil)
        #expect(request.path == "/token")
    }

    @Test func jiraAndNotionWantJSON() throws {
        let job = try OAuthJobBytes.job(.refresh, Self.url) {
            $0.clientID = "id"
            $0.authentication = .basic
            $0.body = .json
            $0.headers = [.init("notion-version", "2022-06-28"), .init("accept", "application/x")]
        }
        let request = try OAuthJobBytes.request(job, [.grant: #"a"b\c"#, .clientSecret: "s:t"])
        #expect(Self.body(request) == #"{"grant_type":"refresh_token","refresh_token":"a\"b\\c"}"#)
        #expect(Self.header(request, "authorization") == "Basic " + Base64.encode(Array("id:s%3At".utf8)))
        #expect(request.headers.filter { $0.name == "accept" }.map(\.value) == ["application/x"])
        #expect(Self.header(request, "notion-version") == "2022-06-28")
    }

    @Test func winbooksHasAGrantOfItsOwnAndAnAddressForIdentity() throws {
        let job = try OAuthJobBytes.job(.exchange, Self.url) {
            $0.clientID = "someone@example.be"
            $0.authentication = .basicAlone
            $0.grantType = "exchange_token"
            $0.grantParameter = "exchange_token"
        }
        let request = try OAuthJobBytes.request(job, [.grant: "abc"])
        #expect(Self.body(request) == "grant_type=exchange_token&exchange_token=abc")
        #expect(Self.header(request, "authorization") == "Basic " + Base64.encode(Array("someone@example.be".utf8)))
    }

    @Test func aPublicClientNamesItself() throws {
        let job = try OAuthJobBytes.job(.deviceStart, Self.url) {
            $0.clientID = "id"
            $0.parameters = [.init("scope", "a b")]
        }
        #expect(Self.body(try OAuthJobBytes.request(job, [:])) == "client_id=id&scope=a%20b")
        let poll = try OAuthJobBytes.job(.devicePoll, Self.url) { $0.clientID = "id" }
        #expect(
            Self.body(try OAuthJobBytes.request(poll, [.grant: "d"]))
                == "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d&client_id=id"
        )
    }

    @Test func providersRevokeInTheirOwnWays() throws {
        let github = try OAuthJobBytes.job(.revoke, "https://api.github.com/applications/id/grant") {
            $0.method = .delete
            $0.body = .json
            $0.clientID = "id"
            $0.authentication = .basic
            $0.grantParameter = "access_token"
        }
        #expect(
            Self.body(try OAuthJobBytes.request(github, [.grant: "t", .clientSecret: "s"])) == #"{"access_token":"t"}"#
        )
        let dropbox = try OAuthJobBytes.job(.revoke, "https://api.dropboxapi.com/2/auth/token/revoke") {
            $0.body = .none
            $0.tokenPlace = .bearer
        }
        let request = try OAuthJobBytes.request(dropbox, [.grant: "t"])
        #expect(request.body == nil && Self.header(request, "authorization") == "Bearer t")
        #expect(Self.header(request, "content-type") == nil)
        let trello = try OAuthJobBytes.job(.revoke, "https://api.trello.com/1/tokens/{token}?key=k&token={token}") {
            $0.method = .delete
            $0.body = .none
            $0.tokenPlace = .address
        }
        #expect(
            try OAuthJobBytes.request(trello, [.grant: "a/b c"]).path == "/1/tokens/a%2Fb%20c?key=k&token=a%2Fb%20c"
        )
        let rfc = try OAuthJobBytes.job(.revoke, Self.url) {
            $0.parameters = [.init("token_type_hint", "refresh_token")]
        }
        #expect(Self.body(try OAuthJobBytes.request(rfc, [.grant: "t"])) == "token=t&token_type_hint=refresh_token")
    }

    /// RFC 5849 §1.2: temporary credentials, then the token.
    @Test func theSignaturesOfTheRFCComeOut() throws {
        let start = try OAuthJobBytes.job(.requestToken, "https://photos.example.net/initiate") {
            $0.clientID = "dpf43f3p2l4k3l03"
            $0.parameters = [.init("oauth_callback", "http://printer.example.com/ready")]
        }
        let first = try OAuthJobBytes.request(
            start,
            [.clientSecret: "kd94hf93k423kf44"],
            now: 137_131_200,
            nonce: "wIjqoS"
        )
        let authorization = try #require(Self.header(first, "authorization"))
        #expect(authorization.contains("oauth_signature=\"74KNZJeDHnMBp0EMJ9ZHt%2FXKycU%3D\""), "\(authorization)")
        #expect(authorization.contains("oauth_callback=\"http%3A%2F%2Fprinter.example.com%2Fready\""))
        let end = try OAuthJobBytes.job(.accessToken, "https://photos.example.net/token") {
            $0.clientID = "dpf43f3p2l4k3l03"
        }
        let second = try OAuthJobBytes.request(
            end,
            [
                .clientSecret: "kd94hf93k423kf44", .grant: "hh5s93j4hdidpola", .tokenSecret: "hdhd0244k9j7ao03",
                .verifier: "hfdp7dh39dks9884",
            ],
            now: 137_131_201,
            nonce: "walatlh"
        )
        let signed = try #require(Self.header(second, "authorization"))
        #expect(signed.contains("oauth_signature=\"gKgrFCywp7rO0OXSjdot%2FIHF7IU%3D\""), "\(signed)")
        #expect(!signed.contains("hdhd0244k9j7ao03"))
    }

    /// RFC 5849 §3.4.1: sorted by encoded name, then value; the port only when it is not the scheme's own.
    @Test func theSignatureBaseStringOfTheRFC() throws {
        // §3.4.1.1: query, header and body.
        let items = [
            ("oauth_consumer_key", "9djdj82h48djs9d2"), ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"), ("oauth_nonce", "7d8f3e4a"), ("c2", ""), ("a3", "2 q"),
        ].map { (name: $0, value: Array($1.utf8)) }
        let path = "/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b"
        let base = OAuthFirst.base("POST", try WebTarget("http://EXAMPLE.COM:80/"), path: path, items)
        #expect(
            String(decoding: base, as: UTF8.self)
                == "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26"
                + "c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26"
                + "oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        )
    }

    /// RFC 5849 §1.2: the photo that is asked for.
    @Test func aCallIsSignedWithItsQuery() throws {
        let url = "https://photos.example.net/photos?file=vacation.jpg&size=original"
        let job = try OAuthJobBytes.job(.probe, url) {
            $0.method = .get
            $0.body = .none
            $0.clientID = "dpf43f3p2l4k3l03"
            $0.tokenPlace = .signed
        }
        let secrets: [BrokerOAuth.Secret: String] = [
            .clientSecret: "kd94hf93k423kf44", .grant: "nnch734d00sl2jdk", .tokenSecret: "pfkkdhi9sl3r4s00",
        ]
        let request = try OAuthJobBytes.request(job, secrets, now: 137_131_202, nonce: "chapoH")
        #expect(request.body == nil && request.path == "/photos?file=vacation.jpg&size=original")
        let base = OAuthFirst.base(
            "GET",
            try WebTarget("http://photos.example.net/"),
            path: request.path,
            [
                ("oauth_consumer_key", "dpf43f3p2l4k3l03"), ("oauth_nonce", "chapoH"),
                ("oauth_signature_method", "HMAC-SHA1"), ("oauth_timestamp", "137131202"),
                ("oauth_token", "nnch734d00sl2jdk"),
            ].map { (name: $0, value: Array($1.utf8)) }
        )
        let key = Array("kd94hf93k423kf44&pfkkdhi9sl3r4s00".utf8)
        let tag = try base.withUnsafeBytes { base in
            try key.withUnsafeBytes { try HMACSHA1.authenticate(base, key: $0) }
        }
        // The RFC asks by http.
        #expect(Base64.encode(tag) == "MdpQcU8iPSUjWoN/UDMsK2sui9I=")
        let header = try #require(Self.header(request, "authorization"))
        #expect(header.hasPrefix("OAuth ") && header.contains("oauth_token=\"nnch734d00sl2jdk\""))
        #expect(!header.contains("pfkkdhi9sl3r4s00") && !header.contains("file"))
        let end = try OAuthJobBytes.job(.revoke, "https://api.trello.com/1/tokens/{token}") {
            $0.method = .delete
            $0.body = .none
            $0.clientID = "k"
            $0.tokenPlace = .signed
        }
        #expect(try OAuthJobBytes.request(end, secrets).path == "/1/tokens/nnch734d00sl2jdk")
    }

    @Test(arguments: ["", "&&", "%", "%4", "%zz=%", "=", "a=b=c", "+=+", "%41=%42", "é"])
    func anyQueryIsTakenApart(_ query: String) {
        let pairs = PercentEncoding.pairs(query.utf8)
        #expect(pairs.count == query.split(separator: "&").count)
        if query == "%41=%42" { #expect(pairs.first?.name == [0x41] && pairs.first?.value == [0x42]) }
        if query == "a=b=c" { #expect(pairs.first?.value == Array("b=c".utf8)) }
    }

    @Test func aClientSignsItsOwnProofAndNamesItsCertificate() throws {
        let folder = try TestFolder("jwt")
        let pem = try Self.generate(folder, "-algorithm RSA -pkeyopt rsa_keygen_bits:2048")
        let script = """
            cd \(folder.path) && openssl req -x509 -key key.pem -out crt.pem -days 2 -subj /CN=x \
            && openssl x509 -in crt.pem -outform DER | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d '=\n'
            """
        let (_, digest) = try RunningProcess.run("/bin/sh", ["-c", script])
        let certificate = try String(contentsOfFile: folder.file("crt.pem"), encoding: .utf8)
        let job = try OAuthJobBytes.job(.clientCredentials, Self.url) {
            $0.clientID = "id"
            $0.authentication = .assertion
            $0.assertion = OAuthAssertion(issuer: "id", subject: "id", audience: Self.url)
        }
        let body = try #require(Self.body(try OAuthJobBytes.request(job, [.privateKey: certificate + pem])))
        let type = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        let prefix = "grant_type=client_credentials&client_id=id&client_assertion_type=\(type)&client_assertion="
        #expect(body.hasPrefix(prefix))
        let token = String(body.dropFirst(prefix.count))
        #expect(try Self.part(token, 0) == "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"x5t#S256\":\"\(digest)\"}")
        #expect(try Self.part(token, 1).contains(#""iat":1800000000,"nbf":1800000000,"exp":1800000300"#))
        // Without a certificate none is named; a broken one signs nothing.
        let plain = try #require(Self.body(try OAuthJobBytes.request(job, [.privateKey: pem])))
        #expect(try Self.part(String(plain.dropFirst(prefix.count)), 0) == #"{"alg":"RS256","typ":"JWT"}"#)
        for broken in ["-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            #expect(throws: CryptoError.self) { try OAuthJobBytes.request(job, [.privateKey: broken + pem]) }
        }
    }

    private static func part(_ token: String, _ index: Int) throws -> String {
        String(decoding: try bytes(token, index), as: UTF8.self)
    }

    private static func bytes(_ token: String, _ index: Int) throws -> [UInt8] {
        let text = Array(token.split(separator: ".")[index].utf8)
        return try #require(
            text.withUnsafeBytes { text in
                switch Base64URL.decodeSecret(text) {
                case .some(let secret): secret.withBytes { Array($0) }
                case .none: nil
                }
            }
        )
    }

    private static func generate(_ folder: TestFolder, _ arguments: String) throws -> String {
        let script = "cd \(folder.path) && openssl genpkey \(arguments) -out key.pem 2>/dev/null"
        #expect(try RunningProcess.run("/bin/sh", ["-c", script]).status == 0)
        return try String(contentsOfFile: folder.file("key.pem"), encoding: .utf8)
    }

    @Test func aGoogleServiceAccountKeySignsForItself() throws {
        let folder = try TestFolder("jwt")
        let pem = try Self.generate(folder, "-algorithm RSA -pkeyopt rsa_keygen_bits:2048")
        let escaped = pem.replacing("\n", with: "\\n")
        let file = """
            {"type":"service_account","private_key_id":"k-1","private_key":"\(escaped)",
             "client_email":"svc@p.iam.gserviceaccount.com","token_uri":"https://evil.example/token"}
            """
        let job = try OAuthJobBytes.job(.jwtBearer, "https://oauth2.googleapis.com/token") {
            $0.assertion = OAuthAssertion(
                issuer: nil,
                audience: "https://oauth2.googleapis.com/token",
                scope: "https://www.googleapis.com/auth/drive.readonly",
                lifeSeconds: 3600
            )
        }
        let body = try #require(Self.body(try OAuthJobBytes.request(job, [.privateKey: file])))
        let prefix = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
        #expect(body.hasPrefix(prefix))
        let token = String(body.dropFirst(prefix.count))
        #expect(try Self.part(token, 0) == #"{"alg":"RS256","typ":"JWT","kid":"k-1"}"#)
        let claims = try JSONSerialization.jsonObject(with: Data(try Self.part(token, 1).utf8)) as? [String: Any]
        #expect(claims?["iss"] as? String == "svc@p.iam.gserviceaccount.com")
        #expect(claims?["aud"] as? String == "https://oauth2.googleapis.com/token")
        #expect(claims?["iat"] as? Int == 1_800_000_000 && claims?["exp"] as? Int == 1_800_003_600)
        #expect(claims?["jti"] as? String == "nonce" && claims?["sub"] == nil)
        // openssl agrees.
        let message = token.split(separator: ".").prefix(2).joined(separator: ".")
        try Data(try Self.bytes(token, 2)).write(to: URL(fileURLWithPath: folder.file("sig")))
        try Data(message.utf8).write(to: URL(fileURLWithPath: folder.file("message")))
        let script = """
            cd \(folder.path) && openssl pkey -in key.pem -pubout -out pub.pem \
            && openssl dgst -sha256 -verify pub.pem -signature sig message
            """
        #expect(try RunningProcess.run("/bin/sh", ["-c", script]).status == 0)
    }

    @Test func salesforceAndOthersGiveAPEMKey() throws {
        let pem = try Self.generate(try TestFolder("jwt"), "-algorithm EC -pkeyopt ec_paramgen_curve:P-256")
        let job = try OAuthJobBytes.job(.jwtBearer, Self.url) {
            $0.assertion = OAuthAssertion(
                algorithm: .es256,
                issuer: "consumer-key",
                subject: "admin@example.org",
                audience: "https://login.salesforce.com",
                claims: [.init("box_sub_type", "enterprise")]
            )
        }
        let body = try #require(Self.body(try OAuthJobBytes.request(job, [.privateKey: pem])))
        let token = String(body.split(separator: "=").last ?? "")
        #expect(try Self.part(token, 0) == #"{"alg":"ES256","typ":"JWT"}"#)
        let claims = try Self.part(token, 1)
        #expect(claims.hasPrefix(#"{"iss":"consumer-key","sub":"admin@example.org","aud":"#))
        #expect(claims.hasSuffix(#""box_sub_type":"enterprise"}"#))
    }

    @Test(arguments: ["hello", "{}", #"{"private_key":5}"#, #"{"private_key":"x"}"#, "{\"private_key\":\"\"}", "{"])
    func aKeyThatIsNoneSignsNothing(key: String) throws {
        let job = try OAuthJobBytes.job(.jwtBearer, Self.url) {
            $0.assertion = OAuthAssertion(issuer: "i", audience: "a")
        }
        #expect(throws: CryptoError.self) { try OAuthJobBytes.request(job, [.privateKey: key]) }
        let reply = try OAuthJobBytes.perform(
            try OAuthJobBytes.job(.jwtBearer, "https://127.0.0.1:9/") { $0.assertion = job.assertion },
            [.privateKey: key],
            authority: nil
        )
        #expect(reply.problem == .badJob)
    }
}
