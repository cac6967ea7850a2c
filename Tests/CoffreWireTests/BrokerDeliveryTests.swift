import CoffreWire
import Testing

/// Jobs that hand something to a web or mail server.
@Suite struct BrokerDeliveryTests {
    private static func posts() throws -> [BrokerPost] {
        try [
            BrokerPost(
                target: WebTarget("https://witness.example/prefix/add-checkpoint"),
                contentType: "text/plain",
                body: Array("old 0\n\nx\n".utf8)
            ),
            BrokerPost(target: WebTarget("http://[::1]:8080"), contentType: "a/b", body: [], timeoutSeconds: 600),
            BrokerPost(target: WebTarget("https://id.example/keys"), method: .get, contentType: "a/b", body: []),
        ]
    }

    private static func mails() throws -> [(mail: BrokerMail, password: String?)] {
        let message = Array("Subject: x\r\n\r\n.\r\n".utf8)
        return try [
            (
                BrokerMail(
                    host: "mail.example",
                    port: 587,
                    security: .startTLS,
                    from: "coffre@example.org",
                    recipients: ["a@example.org", "b@example.org"],
                    message: message
                ), nil
            ),
            (
                BrokerMail(
                    host: "::1",
                    port: 465,
                    security: .implicit,
                    from: "c@example.org",
                    recipients: ["a@example.org"],
                    message: message,
                    user: "étienne",
                    timeoutSeconds: 5
                ), "p ss"
            ),
        ]
    }

    private static func encode(_ mail: BrokerMail, _ secret: [UInt8]?) throws -> [UInt8] {
        let isSecret = secret != nil
        var bytes = [UInt8](repeating: 0, count: mail.encodedSize(passwordBytes: secret?.count))
        try (secret ?? []).withUnsafeBytes { secret in
            try bytes.withUnsafeMutableBytes {
                let count = try mail.encode(password: isSecret ? secret : nil, into: $0)
                #expect(count == $0.count)
            }
        }
        return bytes
    }

    private static func bodies() throws -> [[UInt8]] {
        try posts().map { $0.encode() } + mails().map { try encode($0.mail, $0.password.map { Array($0.utf8) }) }
    }

    /// What these bytes say, written again.
    private static func again(_ bytes: [UInt8]) throws -> [UInt8] {
        try bytes.withUnsafeBytes { bytes in
            switch try BrokerWork(decoding: bytes) {
            case .post(let post): return post.encode()
            case .mail(let view):
                return try encode(view.mail, view.password.map { Array($0) })
            case .database, .oauth: return []
            }
        }
    }

    /// It becomes a header: nothing in it may begin another.
    @Test(arguments: ["a\r\nx-evil: 1", "a b", "a\n", "\u{7f}", "é", String(repeating: "a", count: 129)])
    func aSignatureThatIsNoneIsRefused(text: String) throws {
        let target = try WebTarget("https://h")
        #expect(throws: BrokerWireError.self) {
            try BrokerPost(target: target, contentType: "t", body: [], signature: text)
        }
        let good = try BrokerPost(target: target, contentType: "t", body: [], signature: "t=1,v1=ab")
        var bytes = good.encode()
        #expect(try bytes.withUnsafeBytes { try BrokerPost(decoding: $0) } == good)
        let last = bytes.count - 1
        bytes[last] = 0x0a
        #expect(throws: BrokerWireError.self) { try bytes.withUnsafeBytes { try BrokerPost(decoding: $0) } }
    }

    @Test func aPostHasOneForm() throws {
        let target = try WebTarget("https://h")
        let post = try BrokerPost(target: target, contentType: "t", body: [0xff], timeoutSeconds: 1)
        let fields: [[UInt8]] = [
            [1, 0, 0, 0, 1, 32], [2, 0, 0, 0, 1, 2], [3, 0, 0, 0, 1, 0x68], [4, 0, 0, 0, 2, 1, 0xbb],
            [5, 0, 0, 0, 1, 0x2f], [6, 0, 0, 0, 1, 0x74], [7, 0, 0, 0, 1, 0xff], [8, 0, 0, 0, 4, 0, 0, 0, 1],
            [9, 0, 0, 0, 1, 1], [10, 0, 0, 0, 0],
        ]
        #expect(post.encode() == Array(fields.joined()))
    }

    @Test(arguments: 0..<5)
    func aDeliveryComesBackAsItWas(index: Int) throws {
        let bytes = try Self.bodies()[index]
        #expect(try Self.again(bytes) == bytes)
        // Nothing is kept for later.
        let key = try bytes.withUnsafeBytes { try BrokerWork(decoding: $0).publicKey }
        #expect(key == nil)
    }

    @Test(arguments: 0..<5)
    func whateverDecodesEncodesToTheSameBytes(index: Int) throws {
        let bytes = try Self.bodies()[index]
        var generator = SplitMix(state: UInt64(index + 77))
        var decoded = 0
        for _ in 0..<20_000 {
            let changed = generator.mutate(bytes)
            guard let again = try? Self.again(changed), !again.isEmpty else { continue }
            decoded += 1
            #expect(again == changed)
        }
        #expect(decoded > 0)
        // Without its last two fields, user and password, a mail is another one.
        let whole = (0..<bytes.count).filter { (try? Self.again(Array(bytes[..<$0]))) != nil }
        #expect(whole.count == (index == 4 ? 1 : 0))
        #expect(throws: BrokerWireError.self) { try Self.again(bytes + [0]) }
        #expect(throws: BrokerWireError.self) { try Self.again(bytes + [99, 0, 0, 0, 0]) }
    }

    @Test(arguments: [
        "ftp://h/", "https://", "https:///x", "https://h:0/", "https://h:65536/", "https://h:080/", "https://u@h/",
        "https://h /", "https://h/é", "https://h/a b", "https://h/#x", "https://[::1/", "https://[h]/", "https://..",
        "https://h:/", "HTTPS://h/", "https://h/\u{7f}", "https://h/\r\nx",
    ])
    func aURLThatIsNoneIsRefused(text: String) {
        #expect(throws: BrokerWireError.self) { try WebTarget(text) }
    }

    @Test func aURLIsReadAndExtended() throws {
        let target = try WebTarget("https://h.example:8443/a/?q=1")
        #expect(target.host == "h.example" && target.port == 8443 && target.path == "/a/?q=1")
        #expect(target.place == "https://h.example:8443" && target.text == "https://h.example:8443/a/?q=1")
        #expect(try WebTarget("https://h:443").text == "https://h/")
        #expect(try WebTarget("http://[::1]:80/").text == "http://[::1]/")
        #expect(try WebTarget("https://h/x/").appending("y").path == "/x/y")
        #expect(try WebTarget("https://h/x").appending("y").path == "/x/y")
    }

    @Test(arguments: [
        "", "a", "a@", "@b", "a@b@c", "a b@c", "a@b,c@d", "<a@b>", "a@b>", "a\r\n@b", "é@b", "\"a\"@b",
    ])
    func anAddressThatWouldNeedQuotesIsRefused(text: String) { #expect(!BrokerMail.isAddress(text)) }

    @Test(arguments: [
        "", "x", "x\n", "x\r", "x\r\ny", "é\r\n", "\0\r\n", "a\rb\r\n", "\n\r\n",
        String(repeating: "x", count: 999) + "\r\n",
        String(repeating: "x\r\n", count: 30_000),
    ])
    func aMessageThatSMTPCannotCarryIsRefused(text: String) {
        #expect(throws: BrokerWireError.self) {
            try BrokerMail(
                host: "h",
                port: 25,
                security: .startTLS,
                from: "a@b",
                recipients: ["a@b"],
                message: Array(text.utf8)
            )
        }
    }

    @Test func aReplyComesBackAsItWas() throws {
        let reply = try BrokerReply(status: 409, contentType: "text/x.tlog.size", body: Array("12\n".utf8))
        let bytes = BrokerAnswer.Parcel.plain(.replied(reply)).encode()
        #expect(try bytes.withUnsafeBytes { try BrokerAnswer.Parcel(decoding: $0) } == .plain(.replied(reply)))
        var generator = SplitMix(state: 5)
        for _ in 0..<20_000 {
            let changed = generator.mutate(bytes)
            guard let parcel = try? changed.withUnsafeBytes({ try BrokerAnswer.Parcel(decoding: $0) }) else { continue }
            #expect(parcel.encode() == changed)
        }
        #expect(try BrokerReply(status: 200, contentType: "a\nb", body: []).contentType == "")
        #expect(throws: BrokerWireError.self) { try BrokerReply(status: 99, contentType: "", body: []) }
        #expect(throws: BrokerWireError.self) {
            try BrokerReply(status: 200, contentType: "", body: [UInt8](repeating: 0, count: 65_537))
        }
    }
}
