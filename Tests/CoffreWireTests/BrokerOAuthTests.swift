import CoffreWire
import Testing

/// Jobs that speak to an OAuth provider, as bytes.
@Suite struct BrokerOAuthTests {
    struct Sample: Sendable {
        let job: BrokerOAuth
        let secrets: [BrokerOAuth.Secret: String]
    }

    static func job(
        _ kind: BrokerOAuth.Kind,
        _ url: String = "https://id.example/token",
        _ change: (inout BrokerOAuth) -> Void = { _ in }
    ) throws -> BrokerOAuth {
        var job = BrokerOAuth(kind, at: try WebTarget(url))
        job.publicKey = [UInt8](0..<32)
        change(&job)
        return job
    }

    static func samples() throws -> [Sample] {
        [
            Sample(
                job: try job(.exchange) {
                    $0.clientID = "id é"
                    $0.authentication = .post
                    $0.parameters = [.init("redirect_uri", "http://127.0.0.1:8400/callback"), .init("empty", "")]
                    $0.headers = [.init("notion-version", "2022-06-28")]
                    $0.body = .json
                    $0.tokenObject = "authed_user"
                    $0.learns = [.init("team", "team.id"), .init("cloudid", "*.id"), .init("first", "items.0")]
                    $0.quirks = [.errorsIn200, .tokensInErrors]
                    $0.rootCertificate = Array("PEM".utf8)
                },
                secrets: [.clientSecret: "s3cret", .grant: "code", .verifier: "proof"]
            ),
            Sample(
                job: try job(.refresh) {
                    $0.clientID = "id"
                    $0.authentication = .basic
                    $0.minimumTLS = .tls12
                    $0.clientCertificate = Array("PEM".utf8)
                    $0.timeoutSeconds = 600
                },
                secrets: [.clientSecret: "s", .grant: "r", .certificateKey: "key\nkey"]
            ),
            Sample(
                job: try job(.clientCredentials) {
                    $0.clientID = "person@example.org"
                    $0.authentication = .basicAlone
                    $0.grantType = "exchange_token"
                },
                secrets: [:]
            ),
            Sample(
                job: try job(.jwtBearer) {
                    $0.assertion = OAuthAssertion(
                        algorithm: .es256,
                        issuer: "iss",
                        subject: "sub",
                        audience: "https://login.example",
                        scope: "a b",
                        keyID: "k1",
                        lifeSeconds: 3600,
                        claims: [.init("box_sub_type", "enterprise")]
                    )
                },
                secrets: [.privateKey: "{\"private_key\":\n\"…\"}"]
            ),
            Sample(
                job: try job(.jwtBearer) { $0.assertion = OAuthAssertion(issuer: nil, audience: "a") },
                secrets: [.privateKey: "k"]
            ),
            Sample(
                job: try job(.clientCredentials) {
                    $0.clientID = "id"
                    $0.authentication = .assertion
                    $0.assertion = OAuthAssertion(issuer: "id", subject: "id", audience: "https://id.example/token")
                },
                secrets: [.privateKey: "PEM"]
            ),
            Sample(
                job: try job(.revoke, "https://api.example/1/tokens/{token}?x=y") {
                    $0.method = .delete
                    $0.body = .none
                    $0.clientID = "key"
                    $0.tokenPlace = .signed
                },
                secrets: [.clientSecret: "s", .grant: "t", .tokenSecret: "ts"]
            ),
            Sample(job: try job(.deviceStart) { $0.clientID = "id" }, secrets: [:]),
            Sample(job: try job(.devicePoll) { $0.clientID = "id" }, secrets: [.grant: "device"]),
            Sample(
                job: try job(.revoke, "https://api.example/applications/id/grant") {
                    $0.method = .delete
                    $0.body = .json
                    $0.clientID = "id"
                    $0.authentication = .basic
                    $0.grantParameter = "access_token"
                },
                secrets: [.clientSecret: "s", .grant: "t"]
            ),
            Sample(
                job: try job(.probe, "https://[::1]:8443/1/tokens/{token}?key=k&token={token}") {
                    $0.method = .get
                    $0.body = .none
                    $0.tokenPlace = .address
                },
                secrets: [.grant: "t"]
            ),
            Sample(
                job: try job(.requestToken) {
                    $0.clientID = "key"
                    $0.parameters = [.init("oauth_callback", "https://app.example/cb")]
                },
                secrets: [.clientSecret: "s"]
            ),
            Sample(
                job: try job(.accessToken) { $0.clientID = "key" },
                secrets: [.clientSecret: "s", .grant: "t", .tokenSecret: "ts", .verifier: "v"]
            ),
        ]
    }

    static func encode(_ job: BrokerOAuth, _ secrets: [BrokerOAuth.Secret: String]) throws -> [UInt8] {
        try lend(secrets.map { ($0.key, Array($0.value.utf8)) }[...], [:]) { lent in
            let size = job.encodedSize(secretBytes: lent.mapValues(\.count))
            var bytes = [UInt8](repeating: 0xff, count: size)
            let count = try bytes.withUnsafeMutableBytes { try job.encode(secrets: lent, into: $0) }
            #expect(count == size)
            return bytes
        }
    }

    static func lend<Key: Hashable, R>(
        _ rest: ArraySlice<(Key, [UInt8])>,
        _ lent: [Key: UnsafeRawBufferPointer],
        _ body: ([Key: UnsafeRawBufferPointer]) throws -> R
    ) throws -> R {
        guard let first = rest.first else { return try body(lent) }
        return try first.1.withUnsafeBytes { bytes in
            try lend(rest.dropFirst(), lent.merging([first.0: bytes]) { $1 }, body)
        }
    }

    private static func again(_ bytes: [UInt8]) throws -> [UInt8] {
        try bytes.withUnsafeBytes { bytes in
            let view = try BrokerOAuthView(decoding: bytes)
            var copy = [UInt8](repeating: 0, count: bytes.count)
            let count = try copy.withUnsafeMutableBytes { try view.job.encode(secrets: view.secrets, into: $0) }
            return Array(copy[..<count])
        }
    }

    @Test(arguments: 0..<11)
    func aJobComesBackAsItWas(index: Int) throws {
        let sample = try Self.samples()[index]
        let bytes = try Self.encode(sample.job, sample.secrets)
        try bytes.withUnsafeBytes { bytes in
            let view = try BrokerOAuthView(decoding: bytes)
            #expect(view.job == sample.job)
            #expect(view.secrets.mapValues { String(decoding: $0, as: UTF8.self) } == sample.secrets)
            guard case .oauth(let other) = try BrokerWork(decoding: bytes) else {
                Issue.record("not told apart")
                return
            }
            #expect(other.job == sample.job)
        }
        #expect(try Self.again(bytes) == bytes)
    }

    @Test(arguments: 0..<11)
    func whateverDecodesEncodesToTheSameBytes(index: Int) throws {
        let sample = try Self.samples()[index]
        let bytes = try Self.encode(sample.job, sample.secrets)
        var generator = SplitMix(state: UInt64(index + 500))
        var decoded = 0
        for _ in 0..<10_000 {
            let changed = generator.mutate(bytes)
            guard let again = try? Self.again(changed) else { continue }
            decoded += 1
            #expect(again == changed)
        }
        #expect(decoded > 0)
        for length in 0..<bytes.count { _ = try? Self.again(Array(bytes[..<length])) }
        #expect(throws: BrokerWireError.self) { try Self.again(bytes + [0]) }
        #expect(throws: BrokerWireError.self) { try Self.again(bytes + [99, 0, 0, 0, 0]) }
    }

    /// What is wrong with a job, by name.
    private static let faults: [(String, @Sendable (inout BrokerOAuth) throws -> Void)] = [
        ("http", { $0.target = try WebTarget("http://127.0.0.1/") }),
        ("no key", { $0.publicKey = [] }),
        ("time-out", { $0.timeoutSeconds = 601 }),
        ("own parameter", { $0.parameters = [.init("client_secret", "x")] }),
        (
            "carrier",
            {
                $0.grantParameter = "token"; $0.parameters = [.init("token", "x")]
            }
        ),
        ("twice", { $0.parameters = [.init("a", "1"), .init("a", "2")] }),
        ("control", { $0.parameters = [.init("a", "1\n2")] }),
        ("name", { $0.parameters = [.init("a b", "1")] }),
        ("too many", { $0.parameters = (0..<33).map { .init("p\($0)", "") } }),
        ("own header", { $0.headers = [.init("authorization", "x")] }),
        ("capitals", { $0.headers = [.init("X-A", "x")] }),
        ("header with line", { $0.headers = [.init("a", "x\r\nb: c")] }),
        ("GET", { $0.method = .get }),
        ("bearer", { $0.tokenPlace = .bearer }),
        ("nobody", { $0.authentication = .post }),
        ("assertion", { $0.assertion = OAuthAssertion(issuer: "i", audience: "a") }),
        ("path", { $0.learns = [.init("a", "a..b")] }),
        ("stars", { $0.learns = [.init("a", "*.*")] }),
        ("object", { $0.tokenObject = "a b" }),
        ("braces", { $0.target = try WebTarget("https://h/{token}") }),
        ("quirk", { $0.quirks = .init(rawValue: 128) }),
        ("certificate", { $0.rootCertificate = [] }),
    ]

    @Test(arguments: 0..<22)
    func aJobThatContradictsItselfIsRefused(index: Int) throws {
        let (name, change) = Self.faults[index]
        var job = try Self.job(.refresh)
        _ = try Self.encode(job, [.grant: "t"])
        try change(&job)
        #expect(throws: BrokerWireError.self, "\(name)") { try Self.encode(job, [.grant: "t"]) }
    }

    @Test func secretsAreThoseOfTheKindAndNoOthers() throws {
        let job = try Self.job(.exchange)
        #expect(throws: BrokerWireError.self) { try Self.encode(job, [:]) }
        #expect(throws: BrokerWireError.self) { try Self.encode(job, [.grant: "c", .privateKey: "k"]) }
        #expect(throws: BrokerWireError.self) { try Self.encode(job, [.grant: ""]) }
        #expect(throws: BrokerWireError.self) { try Self.encode(job, [.grant: "a\nb"]) }
        #expect(throws: BrokerWireError.self) { try Self.encode(job, [.grant: "é"]) }
        #expect(throws: BrokerWireError.self) {
            try Self.encode(job, [.grant: String(repeating: "x", count: 16_385)])
        }
        _ = try Self.encode(job, [.grant: String(repeating: "x", count: 16_384)])
        let signed = try Self.job(.jwtBearer) { $0.assertion = OAuthAssertion(issuer: "i", audience: "a") }
        #expect(throws: BrokerWireError.self) { try Self.encode(signed, [.privateKey: "a\0b"]) }
    }

    @Test(arguments: [
        ("lifeSeconds", OAuthAssertion(issuer: "i", audience: "a", lifeSeconds: 3601)),
        ("own claim", OAuthAssertion(issuer: "i", audience: "a", claims: [.init("exp", "1")])),
        ("no audience", OAuthAssertion(issuer: "i", audience: "")),
    ])
    func anAssertionOutsideOfItsRulesIsRefused(name: String, assertion: OAuthAssertion) throws {
        let job = try Self.job(.jwtBearer) { $0.assertion = assertion }
        #expect(throws: BrokerWireError.self) { try Self.encode(job, [.privateKey: "k"]) }
    }

    @Test func theAnswerOfEachKindIsKept() throws {
        for sample in try Self.samples() {
            let bytes = try Self.encode(sample.job, sample.secrets)
            let key = try bytes.withUnsafeBytes { try BrokerWork(decoding: $0).publicKey }
            #expect(key == sample.job.publicKey)
        }
    }
}
