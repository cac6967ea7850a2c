import CoffreClient
import Testing

struct RequestPathTests {
    @Test(arguments: [
        ("secret/data/a", "secret/data/a"), ("/secret/a/", "secret/a"), ("a b/ü?#%", "a%20b/%C3%BC%3F%23%25"),
        ("a/...", "a/..."), ("a=b:c@d+e", "a%3Db%3Ac%40d%2Be"),
    ])
    func aPathIsEncodedOnce(path: String, encoded: String) throws {
        #expect(try RequestPath(path).encoded == encoded)
    }

    @Test(arguments: [
        "", "/", "a//b", "a/../b", ".", "..", "a/./b", "a\nb", "a\u{7f}", "//a", String(repeating: "x", count: 4097),
    ])
    func anUnsafePathIsRefused(path: String) {
        #expect(throws: ClientError.self) { try RequestPath(path) }
    }
}

struct ClientTokenTests {
    @Test(arguments: ["", " \n", "a b", "a\r\nX: y", "é", "a\u{0}b", String(repeating: "x", count: 8193)])
    func aTokenThatFitsNoHeaderIsRefused(text: String) {
        let error = #expect(throws: ClientError.self) { try ClientToken(text) }
        #expect(error?.code == .invalidInput)
    }

    @Test func aTokenPrintsItsLengthAlone() throws {
        let token = try ClientToken(" s.supersecret\n")
        var dumped = ""
        dump(token, to: &dumped)
        for text in ["\(token)", String(reflecting: token), dumped, "\([token])"] {
            #expect(!text.contains("supersecret"))
        }
        #expect(token.description == "token(13 bytes)")
    }
}

struct SecretReferenceTests {
    @Test func aReferenceHasANameAPathAndAField() throws {
        let reference = try SecretReference(parsing: "DB_1=/team/a#b/c#p=w")
        #expect(reference.name == "DB_1")
        #expect(reference.path == "team/a#b/c")
        #expect(reference.field == "p=w")
    }

    @Test(arguments: ["", "A", "A=b", "A=b#", "=b#c", "1A=b#c", "A B=b#c", "A=#c", "A=../b#c", "A#b=c", "É=b#c"])
    func anythingElseIsRefused(text: String) {
        #expect(throws: ClientError.self) { try SecretReference(parsing: text) }
    }
}

struct LeaseRenewalTests {
    private func lease(_ seconds: Int, renewable: Bool = true) -> Lease {
        Lease(id: "x", duration: .seconds(seconds), isRenewable: renewable)
    }

    @Test func aLeaseIsRenewedAfterTwoThirds() {
        var renewal = LeaseRenewal(lease(60), at: .zero)
        #expect(renewal.start(at: .zero) == .renew(at: .seconds(40)))
        #expect(renewal.renewed(lease(60), at: .seconds(40)) == .renew(at: .seconds(80)))
        #expect(renewal.increment == .seconds(60))
    }

    @Test func aLeaseThatIsNotRenewableEnds() {
        #expect(LeaseRenewal(lease(60, renewable: false), at: .zero).start(at: .zero) == .endsForGood(at: .seconds(60)))
        #expect(LeaseRenewal(lease(0), at: .zero).start(at: .zero) == .endsForGood(at: .zero))
    }

    @Test func aRenewalThatAddsNothingIsTheLast() {
        var renewal = LeaseRenewal(lease(60), at: .zero)
        #expect(renewal.renewed(lease(30), at: .seconds(40)) == .renew(at: .seconds(60)))
        #expect(renewal.renewed(lease(10), at: .seconds(60)) == .endsForGood(at: .seconds(70)))
    }

    @Test func aFailureIsTriedAgainUntilTheEnd() {
        var renewal = LeaseRenewal(lease(60), at: .zero)
        var now = Duration.seconds(40)
        var attempts = 0
        while case .renew(let next) = renewal.failed(isFinal: false, at: now) {
            #expect(next >= now + LeaseRenewal.shortestWait)
            now = next
            attempts += 1
        }
        #expect(attempts > 3)
        #expect(now < .seconds(60))
    }

    @Test func aRefusalIsFinal() {
        var renewal = LeaseRenewal(lease(60), at: .zero)
        #expect(renewal.failed(isFinal: true, at: .seconds(40)) == .endsForGood(at: .seconds(60)))
    }
}
