import CoffreCrypto
import CoffreWire
import Testing

@testable import CoffreConnectors

/// What is held to a limit in answers, and what hostile ones come to.
@Suite struct OAuthAnswerLimitTests {
    @Test func whatWasGrantedIsNeverMadeMoreThanItIs() throws {
        #expect(try OAuthAnswerTests.read(200, #"{"access_token":"a","scope":["x","y"]}"#).reply.scope == "x y")
        for scope in [#""é""#, "[1]", "{}", #""\#(String(repeating: "x", count: 5000))""#] {
            #expect(try OAuthAnswerTests.read(200, #"{"access_token":"a","scope":\#(scope)}"#).reply.scope == "")
        }
        #expect(try OAuthAnswerTests.read(200, #"{"access_token":"a"}"#).reply.scope == nil)
    }

    @Test func longTokensFitAndTooLongOnesAreRefused() throws {
        let long = String(repeating: "x", count: 16_384)
        let answer = try OAuthAnswerTests.read(
            200,
            #"{"access_token":"\#(long)","refresh_token":"\#(long)","id_token":"\#(long)"}"#
        )
        #expect(OAuthAnswerTests.text(answer, .refreshToken) == long && answer.secrets[.idToken] == nil)
        #expect(
            OAuthAnswerTests.problem(try OAuthAnswerTests.read(200, #"{"access_token":"\#(long)x"}"#)) == .malformed
        )
    }

    @Test func learntValuesAreBounded() throws {
        let items = (0..<500).map { #"{"id":"\#($0)-\#(String(repeating: "x", count: 300))","n":"a\u0007b"}"# }
        let answer = try OAuthAnswerTests.read(200, "[" + items.joined(separator: ",") + "]", kind: .probe) {
            $0.learns = [.init("n", "*.n"), .init("id", "*.id")]
        }
        #expect(!answer.reply.learnt.isEmpty && answer.reply.learntBytes <= OAuthReply.Limit.learntTotal)
        #expect(answer.reply.learnt.allSatisfy { $0.name == "id" })
    }

    @Test(arguments: [
        ("120", nil, UInt64(120)), ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:48:37 GMT", 60),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 09:48:37 GMT", 0), ("soon", nil, nil), ("-5", nil, nil),
        ("Sun, 06 Nov 1994 08:49:37 GMT", nil, nil), ("9999999999", nil, OAuthReply.Limit.seconds),
    ])
    func theTimeToWaitIsRead(text: String, date: String?, seconds: UInt64?) {
        #expect(OAuthHead(status: 429, date: date, retryAfter: text).retryAfter == seconds)
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", UInt64(784_111_777)), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37 CET", nil), ("Sunday, 06-Nov-94 08:49:37 GMT", nil),
        ("Sun, 06 Foo 1994 08:49:37 GMT", nil), ("Sun, 06 Nov 1994 25:49:37 GMT", nil), ("", nil),
    ])
    func aServersClockIsRead(text: String, seconds: UInt64?) {
        #expect(OAuthHead(status: 200, date: text).serverTime == seconds)
    }

    @Test func whateverComesIsJudgedAndCanBeSent() throws {
        let samples = [
            #"{"ok":true,"access_token":"a","refresh_token":"r","expires_in":"3600","scope":["x"],"team":{"id":"T"}}"#,
            "access_token=a%2B&expires_in=5&scope=x+y", #"[{"id":"1","name":"é"},{"id":2}]"#,
            #"{"errors":[{"extensions":{"code":"X"}}],"error":{"code":"y"}}"#,
        ]
        var state = UInt64(77)
        func random(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        for sample in samples {
            for kind in BrokerOAuth.Kind.allCases {
                for _ in 0..<400 {
                    var bytes = Array(sample.utf8)
                    for _ in 0...random(3) where !bytes.isEmpty {
                        let place = random(bytes.count)
                        switch random(3) {
                        case 0: bytes[place] = UInt8(random(256))
                        case 1: bytes.remove(at: place)
                        default: bytes.insert(contentsOf: bytes[place..<min(place + 9, bytes.count)], at: place)
                        }
                    }
                    var job = BrokerOAuth(kind, at: try WebTarget("https://h/"))
                    job.learns = [.init("id", "*.id"), .init("team", "team.id")]
                    job.quirks = random(2) == 0 ? [] : [.errorsIn200, .tokensInErrors]
                    let head = OAuthHead(status: [200, 400, 401, 503][random(4)])
                    let answer = bytes.withUnsafeBytes { OAuthAnswer.read(job, head, $0) }
                    #expect(answer.encoded != nil)
                }
            }
        }
    }
}
