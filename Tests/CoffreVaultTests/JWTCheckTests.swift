import CoffreCrypto
import CoffreWire
import Foundation
import Testing

@testable import CoffreVault

/// What the claims of a token must say.
struct JWTCheckTests {
    private let issuer: JWTIssuer

    init() throws { issuer = try JWTIssuer.shared.get() }

    private func look(
        _ changes: [String: Any?],
        role: String = #"{"bound_audiences":"chat","user_claim":"sub","clock_skew_leeway":-1}"#,
        header: [String: Any] = [:],
        isShown: Bool = false
    ) async throws -> Result<JWTPerson, JWTRefusal> {
        let token = try await issuer.token(.es256, header: header, claims: JWTIssuer.standardClaims(changes))
        return JWTIssuer.look(
            at: token,
            keys: try await issuer.keys(),
            role: try JWTIssuer.role(role),
            isShown: isShown
        )
    }

    @Test(arguments: [
        ("exp", 0 as Int64, false), ("exp", 1, true), ("nbf", 0, true), ("nbf", 1, false), ("iat", 0, true),
        ("iat", 1, false),
    ])
    func withoutLeewayTheSecondCounts(claim: String, offset: Int64, isBelieved: Bool) async throws {
        let seen = try await look([claim: JWTIssuer.now.seconds + offset])
        #expect((seen.alias != nil) == isBelieved)
    }

    @Test(arguments: [
        ("exp", -60 as Int64, false), ("exp", -59, true), ("nbf", 60, true), ("nbf", 61, false), ("iat", 60, true),
        ("iat", 61, false),
    ])
    func clocksMayDifferByAMinuteUnlessItIsSaid(claim: String, offset: Int64, isBelieved: Bool) async throws {
        let role = #"{"bound_audiences":"chat","user_claim":"sub"}"#
        let seen = try await look([claim: JWTIssuer.now.seconds + offset], role: role)
        #expect((seen.alias != nil) == isBelieved)
    }

    @Test func aTimeIsANumberAndTheEndMustBeSaid() async throws {
        #expect(try await look(["exp": Int?.none]).reason?.contains("exp") == true)
        for value: Any in ["1900000000", true, [1], 1e300, -1e300, NSNull()] {
            for claim in ["exp", "nbf", "iat"] {
                #expect(try await look([claim: value]).alias == nil, "\(claim) \(value)")
            }
        }
        #expect(try await look(["exp": Double(JWTIssuer.now.seconds) + 10.5]).alias == "alice")
    }

    @Test func theAudienceIsTheClientOfTheRole() async throws {
        let good: [Any] = ["chat", ["chat"], ["other", "chat"]]
        for value in good { #expect(try await look(["aud": value]).alias == "alice", "\(value)") }
        let bad: [Any?] = ["other", "chat ", "Chat", [], ["other"], "", nil, 7, ["chat", 7], ["chat": 1], NSNull()]
        for value in bad { #expect(try await look(["aud": value]).alias == nil, "\(String(describing: value))") }
        let unbound = #"{"bound_subject":"alice","user_claim":"sub"}"#
        #expect(try await look([:], role: unbound).reason?.contains("no audiences bound") == true)
        #expect(try await look(["aud": String?.none], role: unbound).alias == "alice")
    }

    @Test func aShownTokenIsForThatClientAlone() async throws {
        #expect(try await look([:], isShown: true).alias == "alice")
        #expect(try await look(["azp": "chat"], isShown: true).alias == "alice")
        let bad: [[String: Any?]] = [
            ["aud": ["other", "chat"]], ["azp": "other"], ["azp": 1], ["azp": NSNull()], ["iat": Int?.none],
            ["iat": JWTIssuer.now.seconds - 601],
        ]
        for changes in bad { #expect(try await look(changes, isShown: true).alias == nil, "\(changes)") }
        #expect(try await look(["iat": JWTIssuer.now.seconds - 600], isShown: true).alias == "alice")
        for type in ["at+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt"] {
            #expect(try await look([:], header: ["typ": type], isShown: true).alias == nil)
        }
        let unbound = #"{"bound_subject":"alice","user_claim":"sub"}"#
        #expect(try await look(["aud": String?.none], role: unbound, isShown: true).alias == nil)
    }

    @Test func anEventIsNoLogin() async throws {
        let events = ["events": ["http://schemas.openid.net/event/backchannel-logout": [String: String]()]]
        for isShown in [false, true] {
            #expect(try await look(events, isShown: isShown).reason?.contains("event") == true)
            #expect(try await look(["events": NSNull()], isShown: isShown).alias == nil)
        }
    }

    @Test func aShownTokenNeedsAKnownIssuer() async throws {
        let token = try await issuer.token(.es256)
        let check = JWTCheck(keys: try await issuer.keys(), algorithms: [], issuer: nil, role: try JWTIssuer.role())
        try Array(token.utf8).withUnsafeBytes { bytes in
            let token = try JWTToken(bytes)
            #expect(try check.person(of: token, now: JWTIssuer.now).alias == "alice")
            #expect(throws: JWTRefusal.self) { try check.checkShown(token, now: JWTIssuer.now) }
        }
    }

    @Test func aTokenIsToldFromOthersByIssuerAndName() async throws {
        func identity(_ changes: [String: Any?]) async throws -> [UInt8] {
            try await look(changes).get().identity.withBytes { Array($0) }
        }
        let one = try await identity([:])
        #expect(try await identity(["exp": JWTIssuer.now.seconds + 200]) == one, "the name counts alone")
        #expect(try await identity(["jti": "token-2"]) != one)
        #expect(try await identity(["jti": String?.none]) != identity(["jti": String?.none, "nonce": "x"]))
        let person = try await look(["aud": ["chat", "other"], "azp": "third"]).get()
        #expect(person.clients == ["chat", "other", "third"])
        #expect(person.issuedAt == JWTIssuer.now.seconds - 10)
    }

    @Test func issuerAndSubjectAreExact() async throws {
        for value: Any? in ["https://id.example/", "HTTPS://id.example", "", nil, 1, ["https://id.example"]] {
            #expect(try await look(["iss": value]).reason == "invalid issuer (iss) claim")
        }
        let role = #"{"bound_audiences":"chat","user_claim":"email","bound_subject":"alice"}"#
        #expect(try await look(["email": "a@x"], role: role).alias == "a@x")
        #expect(try await look(["email": "a@x", "sub": "bob"], role: role).alias == nil)
    }

    @Test(arguments: [
        "7", "true", #"["alice"]"#, #"{"name":"alice"}"#, #""""#, "\"" + String(repeating: "a", count: 257) + "\"",
        "\"" + String(repeating: "a", count: 10_000) + "\"", #""a\nb""#, #""a\u0000b""#, #""a\u001b[31m""#,
        #""a\u202eb""#, #""a\u200bb""#, #""a\u007f""#, "null", #""a\u2028b""#,
    ])
    func aHostileNameIsNobody(json: String) async throws {
        let name = try JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed)
        #expect(try await look(["sub": name]).alias == nil)
        let role = #"{"bound_audiences":"chat","user_claim":"sub","groups_claim":"groups"}"#
        #expect(try await look(["groups": [name]], role: role).alias == nil)
    }

    @Test func namesThatOnlyLookTheSameStayTwo() async throws {
        let composed = try await look(["sub": "\u{e9}"]).alias
        let decomposed = try await look(["sub": "e\u{301}"]).alias
        #expect(composed.map { Array($0.utf8) } == [0xc3, 0xa9])
        #expect(decomposed.map { Array($0.utf8) } == [0x65, 0xcc, 0x81])
    }

    @Test func boundClaimsAllHold() async throws {
        func role(_ claims: String, _ type: String = "string") -> String {
            #"{"bound_audiences":"chat","user_claim":"sub","bound_claims":\#(claims),"bound_claims_type":"\#(type)"}"#
        }
        let claims: [String: Any?] = [
            "dept": "payroll", "admin": true, "level": 3, "roles": ["a", "b"], "org": ["unit": ["x/y": "deep"]],
        ]
        let good = [
            #"{"dept":"payroll"}"#, #"{"dept":["x","payroll"]}"#, #"{"admin":true}"#, #"{"level":3}"#,
            #"{"roles":"b"}"#,
            #"{"/org/unit/x~1y":"deep"}"#, #"{"/roles/0":"a"}"#, #"{"dept":"payroll","admin":true}"#,
        ]
        for text in good { #expect(try await look(claims, role: role(text)).alias == "alice", "\(text)") }
        let bad = [
            #"{"dept":"pay*"}"#, #"{"dept":"Payroll"}"#, #"{"admin":"true"}"#, #"{"level":"3"}"#, #"{"missing":"x"}"#,
            #"{"roles":"c"}"#, #"{"org":"deep"}"#, #"{"/roles/2":"a"}"#, #"{"dept":"payroll","admin":false}"#,
        ]
        for text in bad { #expect(try await look(claims, role: role(text)).alias == nil, "\(text)") }
        for (text, fits) in [
            ("pay*", true), ("*roll", true), ("p*o*l", true), ("*", true), ("pay", false), ("*x*", false),
        ] {
            let seen = try await look(claims, role: role(#"{"dept":"\#(text)"}"#, "glob"))
            #expect((seen.alias != nil) == fits, "\(text)")
        }
        #expect(throws: VaultError.self) { try JWTIssuer.role(role(#"{"level":3}"#, "glob")) }
        #expect(throws: VaultError.self) { try JWTIssuer.role(#"{"user_claim":"sub"}"#) }
        #expect(throws: VaultError.self) { try JWTIssuer.role(#"{"bound_subject":"a"}"#) }
    }

    @Test func groupsAndMetadataAreTakenOver() async throws {
        let role = """
            {"bound_audiences":"chat","user_claim":"sub","groups_claim":"groups",
             "claim_mappings":{"email":"mail","age":"age","missing":"nothing"}}
            """
        let person = try await look(["email": "a@x", "age": 3, "groups": ["payroll", "all"]], role: role).get()
        #expect(person.groups == ["payroll", "all"])
        #expect(person.metadata == ["mail": "a@x", "age": "3"])
        #expect(try await look(["groups": [String]?.none], role: role).alias == nil)
        #expect(try await look(["groups": (0...512).map { "g\($0)" }], role: role).alias == nil)
        #expect(try await look(["email": ["a": 1]], role: role).alias == nil)
    }

    // MARK: what is kept

    @Test func aKeyThatComesBackWaitsAgain() async throws {
        let name = try await JWTKey.read(pem: issuer.pems[0])
        var key = FetchedJWTKey(name, at: JWTIssuer.now)
        #expect(key.state == "pending" && key.refetched(isPublished: false) == nil)
        key.isAccepted = true
        #expect(key.isBelieved)
        let gone = try #require(key.refetched(isPublished: false))
        #expect(gone.state == "withdrawn" && !gone.isBelieved)
        let back = try #require(gone.refetched(isPublished: true))
        #expect(back.state == "pending" && !back.isBelieved)
        // As it was stored when a withdrawn key still counted as accepted.
        key.isPublished = false
        #expect(key.refetched(isPublished: true)?.isBelieved == false)
    }

    @Test(
        arguments: [
            ("token:0a1b", nil), ("peer:990:", nil), ("peer:990:a:for:b.service", nil), ("", nil), (":for:", nil),
            ("token:0a1b", "5e0c-11"), ("peer:990:a:for:b.service", "5e0c-11"), ("peer:1::for:", "5e0c-11"),
        ] as [(String, String?)]
    )
    func aLeaseIsTheServicesForAPerson(holder: String, person: String?) {
        let owner = LeaseOwner(LeaseOwner(holder: holder, person: person).text)
        #expect(owner.holder == holder && owner.person == person)
    }

    @Test func aTokenRemembersItsPeerRoles() throws {
        let hash = SHA256.hash([1])
        var entry = TokenEntry.root(hash: hash, created: JWTIssuer.now)
        #expect(try TokenEntry(hash: hash, decoding: entry.encoded).peerRoles.isEmpty)
        entry.peerRoles = ["chat", "cron"]
        #expect(try TokenEntry(hash: hash, decoding: entry.encoded).peerRoles == ["chat", "cron"])
    }

    // MARK: who shows a token

    private func principal(_ uid: UInt32, _ unit: String?, isPinned: Bool = true) -> Principal {
        Principal(pid: 1, uid: uid, gid: uid, groups: [], unit: unit, isUnitPinned: isPinned)
    }

    @Test func aTokenBelongsToTheServiceThatShowedItFirst() throws {
        var tokens = ShownTokens(limit: 2)
        let digests = (0...3).map { SHA256.hash([UInt8($0)]) }
        func show(_ index: Int, _ who: Principal, endsAt: Int64 = 100, now: Int64 = 1) -> ShownTokens.Verdict {
            tokens.show(digests[index], by: ShownTokens.Presenter(who), endsAt: endsAt, now: now)
        }
        let chat = principal(990, "chat.service")
        #expect(show(0, chat) == .first)
        #expect(show(0, chat) == .again)
        #expect(show(0, principal(991, "chat.service")) == .again)
        #expect(show(0, principal(990, "cron.service")) == .replayed(isNew: true))
        #expect(show(0, principal(990, "cron.service")) == .replayed(isNew: false))
        // A unit that may have become another's does not count without its uid.
        #expect(show(0, principal(991, "chat.service", isPinned: false)) == .replayed(isNew: true))
        #expect(show(0, principal(990, nil)) == .replayed(isNew: true))
        #expect(show(1, principal(1000, nil), endsAt: 50) == .first)
        #expect(show(1, principal(1001, nil)) == .replayed(isNew: true))
        #expect(show(2, chat) == .full)
        #expect(show(0, chat) == .again)
        #expect(show(2, chat, now: 50) == .first)
        #expect(show(3, chat, now: 50) == .full)
        #expect(show(0, principal(5, nil), endsAt: 200, now: 100) == .first)
    }

    @Test func oneServiceDoesNotTakeTheRoomOfAll() throws {
        var tokens = ShownTokens(limit: 10, limitOfPresenter: 2)
        let (chat, cron) = (ShownTokens.Presenter(principal(1, nil)), ShownTokens.Presenter(principal(2, nil)))
        func digest(_ index: UInt8) -> Digest { SHA256.hash([index]) }
        #expect(tokens.show(digest(0), by: chat, endsAt: 100, now: 1) == .first)
        #expect(tokens.show(digest(1), by: chat, endsAt: 200, now: 1) == .first)
        #expect(tokens.show(digest(2), by: chat, endsAt: 200, now: 99) == .full)
        #expect(tokens.show(digest(2), by: cron, endsAt: 200, now: 99) == .first)
        #expect(tokens.contains(digest(0), now: 99) && !tokens.contains(digest(0), now: 100))
        #expect(!tokens.contains(digest(3), now: 99))
        // What has ended makes room, also when it is the same that is shown anew.
        #expect(tokens.show(digest(0), by: chat, endsAt: 200, now: 100) == .first)
        #expect(tokens.show(digest(3), by: chat, endsAt: 300, now: 100) == .full)
        #expect(tokens.show(digest(3), by: chat, endsAt: 300, now: 200) == .first)
        #expect(tokens.show(digest(4), by: chat, endsAt: 300, now: 200) == .first)
        #expect(tokens.show(digest(5), by: chat, endsAt: 300, now: 200) == .full)
    }
}
