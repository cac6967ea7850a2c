import CoffreCrypto
import CoffreWire
import Foundation
import Testing

@testable import CoffreVault

/// Which tokens are believed, and that no change of one goes unnoticed.
struct JWTTokenTests {
    private let issuer: JWTIssuer
    private let role: JWTRole

    init() throws {
        issuer = try JWTIssuer.shared.get()
        role = try JWTIssuer.role()
    }

    @Test(arguments: JWTAlgorithmName.allCases)
    func aTokenOfEveryAlgorithmNamesItsPerson(algorithm: JWTAlgorithmName) async throws {
        let token = try await issuer.token(algorithm)
        #expect(JWTIssuer.look(at: token, keys: try await issuer.keys(), role: role, isShown: true).alias == "alice")
    }

    @Test(arguments: [JWTAlgorithmName.rs256, .es256, .edDSA])
    func noCharacterOfATokenCanBeChanged(algorithm: JWTAlgorithmName) async throws {
        let token = Array(try await issuer.token(algorithm).utf8)
        let keys = try await issuer.keys()
        // Neighbours in the alphabet differ in the last bit, which at the end of a part may be one that does not count.
        let others = Array("AB_-z9.=+/ \n\0".utf8)
        for index in token.indices {
            var candidates = others
            candidates += [token[index] ^ 1, token[index] ^ 2, token[index] ^ 0x20, token[index] | 0x80]
            for other in candidates where other != token[index] {
                var changed = token
                changed[index] = other
                let text = String(decoding: changed, as: UTF8.self)
                #expect(JWTIssuer.look(at: text, keys: keys, role: role).alias == nil, "\(index): \(other)")
            }
        }
        for length in token.indices {
            let cut = String(decoding: token[..<length], as: UTF8.self)
            #expect(JWTIssuer.look(at: cut, keys: keys, role: role).alias == nil)
        }
        for extra in ["=", "A", ".", "\n", " "] {
            let longer = String(decoding: token, as: UTF8.self) + extra
            #expect(JWTIssuer.look(at: longer, keys: keys, role: role).alias == nil)
        }
    }

    @Test(arguments: ["none", "None", "", "HS256", "HS512", "ES512", "RS1", "dir", "rs256"])
    func otherAlgorithmsAreNotBelieved(algorithm: String) async throws {
        let keys = try await issuer.keys()
        let header = Data(#"{"alg":"\#(algorithm)"}"#.utf8)
        let claims = try JSONSerialization.data(withJSONObject: JWTIssuer.standardClaims())
        let signed = JWTIssuer.base64url(header) + "." + JWTIssuer.base64url(claims)
        // A public key is no secret: as that of an HMAC everybody has it.
        let forged = issuer.pems.map { pem in
            let key = pem.utf8.withContiguousStorageIfAvailable { HMACKey(SecretBytes(copying: .init($0))) }
            return key.map { key in
                JWTIssuer.base64url(Array(signed.utf8).withUnsafeBytes { key.authenticate($0).bytes })
            }
        }
        for signature in forged.compactMap(\.self) + ["", "AA"] {
            #expect(JWTIssuer.look(at: signed + "." + signature, keys: keys, role: role).alias == nil)
        }
    }

    @Test func aKeyOfOneKindDoesNotVerifyForAnother() async throws {
        let keys = try await issuer.keys()
        for real in JWTAlgorithmName.allCases {
            for claimed in JWTAlgorithmName.allCases where claimed != real {
                let token = try await issuer.token(real, header: ["alg": claimed.rawValue])
                #expect(JWTIssuer.look(at: token, keys: keys, role: role).alias == nil, "\(real) as \(claimed)")
            }
        }
        let token = try await issuer.token(.rs256)
        #expect(JWTIssuer.look(at: token, keys: keys, role: role, algorithms: [.es256]).alias == nil)
        #expect(JWTIssuer.look(at: token, keys: Array(keys.dropFirst()), role: role).alias == nil)
    }

    @Test(arguments: [
        #"{"alg":"RS256","crit":["exp"],"exp":1}"#, #"{"alg":"RS256","b64":false}"#, #"{"alg":"RS256","alg":"RS256"}"#,
        #"{"alg":["RS256"]}"#, #"{"typ":"JWT"}"#, #"["alg","RS256"]"#, #"{"alg":"RS256","kid":7}"#,
        #"{"alg":"RS256","kid":"../../etc/passwd\u0000"}"#, #"{"alg":"RS256","kid":""}"#,
        #"{"alg":"RS256","kid":"' OR 1=1"}"#, #"{"alg":"RS256","x":{"a":1,"a":2}}"#, #"{"alg":"RS256"} "x""#,
    ])
    func aHeaderThatIsNotUnderstoodIsRefused(header: String) async throws {
        let claims = try JSONSerialization.data(withJSONObject: JWTIssuer.standardClaims())
        let token = try await issuer.token(.rs256, header: Data(header.utf8), claims: claims)
        #expect(JWTIssuer.look(at: token, keys: try await issuer.keys(), role: role).alias == nil)
    }

    @Test func aTokenCannotBringItsOwnKey() async throws {
        let stranger = try JWTIssuer()
        let keys = try await stranger.keys()
        let own = try JSONSerialization.jsonObject(with: Data(keys[0].json.encoded()))
        let token = try await stranger.token(
            .rs256,
            header: ["jwk": own, "jku": "https://id.example/keys", "x5u": "https://id.example/c", "x5c": ["AAAA"]]
        )
        #expect(JWTIssuer.look(at: token, keys: keys, role: role).alias == "alice")
        #expect(JWTIssuer.look(at: token, keys: try await issuer.keys(), role: role).reason == "invalid signature")
    }

    @Test func theNamedKeyAloneCounts() async throws {
        let stranger = try JWTIssuer()
        var set: [JSONValue] = []
        for (kid, key) in [("old", try await issuer.keys()[0]), ("new", try await stranger.keys()[0])] {
            set.append(.object((key.json.members ?? []) + [.init("kid", .string(kid)), .init("alg", "RS256")]))
        }
        let keys = try await JWTKey.read(set: ["keys": .array(set)])
        #expect(keys.map(\.kid) == ["old", "new"])
        for (kid, alias) in [("old", "alice" as String?), ("new", nil), ("other", nil), ("OLD", nil)] {
            let token = try await issuer.token(.rs256, header: ["kid": kid])
            let seen = JWTIssuer.look(at: token, keys: keys, role: role)
            #expect(seen.alias == alias, "\(kid)")
            if case .failure(let refusal) = seen {
                #expect((refusal.unknownKey != nil) == (kid == "other" || kid == "OLD"))
            }
        }
        // Bound to RS256 by its publisher.
        let other = try await issuer.token(.ps256, header: ["kid": "old"])
        #expect(JWTIssuer.look(at: other, keys: keys, role: role).alias == nil)
    }

    @Test func sizeAndDepthAreBounded() async throws {
        let keys = try await issuer.keys()
        let long = try await issuer.token(claims: JWTIssuer.standardClaims(["x": String(repeating: "x", count: 9000)]))
        #expect(JWTIssuer.look(at: long, keys: keys, role: role).alias == "alice")
        let huge = try await issuer.token(
            claims: JWTIssuer.standardClaims(["x": String(repeating: "x", count: 20_000)])
        )
        #expect(JWTIssuer.look(at: huge, keys: keys, role: role).reason?.contains("bytes") == true)
        for text in [
            String(repeating: "[", count: 2000) + String(repeating: "]", count: 2000),
            "[" + String(repeating: "1,", count: 3000) + "1]",
        ] {
            let claims = Data(
                #"{"sub":"alice","aud":"chat","exp":1900000000,"iss":"https://id.example","x":\#(text)}"#.utf8
            )
            let deep = try await issuer.token(.rs256, header: Data(#"{"alg":"RS256"}"#.utf8), claims: claims)
            #expect(JWTIssuer.look(at: deep, keys: keys, role: role).reason?.contains("too deep") == true)
        }
        for text in [
            "", ".", "..", "...", String(repeating: ".", count: 16_384), String(repeating: "A", count: 40_000),
        ] {
            #expect(JWTIssuer.look(at: text, keys: keys, role: role).alias == nil)
        }
    }

    @Test(arguments: [
        #"{"sub":"alice","sub":"root","aud":"chat","exp":1900000000,"iss":"https://id.example"}"#,
        #"{"sub":"alice","aud":"chat","exp":1900000000,"iss":"https://id.example","a":{"b":1,"b":2}}"#,
        #"{"sub":"alice","aud":"chat","exp":1900000000,"iss":"https://id.example","\u0073ub":"root"}"#,
    ])
    func aNameThatStandsTwiceIsRefused(claims: String) async throws {
        let token = try await issuer.token(.rs256, header: Data(#"{"alg":"RS256"}"#.utf8), claims: Data(claims.utf8))
        let reason = JWTIssuer.look(at: token, keys: try await issuer.keys(), role: role).reason
        #expect(reason?.contains("twice") == true)
    }

    @Test func keysThatAreTooWeakOrPrivateAreRefused() async throws {
        let weak =
            "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALRiMLAh9iimur8VA7qVvdqxevEuUkW4K+2KdMXmnQb"
        for text in ["", "x", weak, issuer.privatePEM] {
            await #expect(throws: VaultError.self) { try await JWTKey.read(pem: text) }
        }
        let key = try await issuer.keys()[0].json
        let n = key["n"]?.string ?? ""
        let broken: [JSONValue] = [
            .object((key.members ?? []) + [.init("d", "AQAB")]),
            ["kty": "RSA", "e": "AQAB", "n": .string(String(n.prefix(170)))],
            ["kty": "RSA", "e": "AQAB"], ["kty": "RSA", "e": "AQAB", "n": "***"],
            ["kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"],
            ["kty": "OKP", "crv": "Ed25519", "x": "AA"], .object((key.members ?? []) + [.init("alg", "ES256")]),
            .object((key.members ?? []) + [.init("kid", .string(String(repeating: "k", count: 300)))]),
        ]
        for jwk in broken { await #expect(throws: VaultError.self, "\(jwk)") { try await JWTKey.read(jwk: jwk) } }
        for jwk: JSONValue in [["kty": "oct"], .object((key.members ?? []) + [.init("use", "enc")])] {
            #expect(try await JWTKey.read(jwk: jwk).map(\.thumbprint) == nil)
        }
    }

    // RFC 7638 §3.1.
    @Test func theThumbprintIsThatOfTheStandard() async throws {
        let n =
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
            + "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6q"
            + "MQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awa"
            + "pJzKnqDKgw"
        let key = try await JWTKey.read(jwk: [
            "kty": "RSA", "n": .string(n), "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        ])
        #expect(key?.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
    }
}
