import CoffreWire
import Testing

@testable import CoffreConnectors

@Suite struct SMTPTests {
    private static let message = Array("Subject: x\r\n\r\n.hidden\r\n".utf8)

    private static func mail(_ security: BrokerMail.Security = .startTLS, user: String? = nil) throws -> BrokerMail {
        try BrokerMail(
            host: "mail.example",
            port: 587,
            security: security,
            from: "coffre@example.org",
            recipients: ["a@example.org", "b@example.org"],
            message: message,
            user: user
        )
    }

    private static func line(_ text: String) -> SMTPConversation.Action { .send(Array("\(text)\r\n".utf8)) }

    private static func play(_ conversation: inout SMTPConversation, _ reply: String) -> SMTPConversation.Action {
        conversation.received(Array(reply.utf8))
    }

    /// What a server says, and what is said to it.
    private static let afterTLS: [(String, SMTPConversation.Action)] = [
        ("250 mail.example\r\n", line("MAIL FROM:<coffre@example.org>")),
        ("250 ok\r\n", line("RCPT TO:<a@example.org>")),
        ("250 ok\r\n", line("RCPT TO:<b@example.org>")),
        ("251 forwarded\r\n", line("DATA")),
        ("354 go on\r\n", .send(Array("Subject: x\r\n\r\n..hidden\r\n.\r\n".utf8))),
        ("250 taken\r\n", .finished(Array("QUIT\r\n".utf8))),
    ]

    @Test func aMessageGoesOutAfterSTARTTLS() throws {
        var conversation = SMTPConversation(try Self.mail())
        #expect(Self.play(&conversation, "220 hello\r\n") == Self.line("EHLO example.org"))
        #expect(Self.play(&conversation, "250-mail.example\r\n250-SIZE 1\r\n250 STARTTLS\r\n") == Self.line("STARTTLS"))
        #expect(Self.play(&conversation, "220 go\r\n") == .startTLS)
        #expect(conversation.secured() == Self.line("EHLO example.org"))
        for (reply, action) in Self.afterTLS { #expect(Self.play(&conversation, reply) == action) }
        #expect(conversation.closed() == .none)
    }

    @Test func aMessageGoesOutByTLSFromTheFirstByteWithALogin() throws {
        var conversation = SMTPConversation(try Self.mail(.implicit, user: "u"))
        #expect(Self.play(&conversation, "220 hello\r\n") == Self.line("EHLO example.org"))
        #expect(Self.play(&conversation, "250-mail.example\r\n250 AUTH LOGIN PLAIN\r\n") == .authenticate)
        #expect(Self.play(&conversation, "235 welcome\r\n") == Self.afterTLS[0].1)
    }

    @Test func repliesMayComeByteByByte() throws {
        var conversation = SMTPConversation(try Self.mail(.implicit))
        for byte in "220-hello\r\n220 again\r".utf8 { #expect(conversation.received([byte]) == .none) }
        #expect(conversation.received([0x0a]) == Self.line("EHLO example.org"))
    }

    @Test(arguments: [
        ("250 mail.example\r\n", BrokerFailure.Code.tls), ("250-mail.example\r\n250 XSTARTTLS\r\n", .tls),
        ("500 what\r\n", .rights), ("421 later\r\n", .unavailable),
    ])
    func aServerWithoutTLSGetsNothing(reply: String, code: BrokerFailure.Code) throws {
        var conversation = SMTPConversation(try Self.mail())
        _ = Self.play(&conversation, "220 hello\r\n")
        #expect(Self.play(&conversation, reply) == .failed(code))
        #expect(Self.play(&conversation, "250 ok\r\n") == .none)
    }

    /// CVE-2011-0411 and its kind: what came in the clear is not believed under TLS.
    @Test func bytesAfterTheReplyToSTARTTLSEndIt() throws {
        var conversation = SMTPConversation(try Self.mail())
        _ = Self.play(&conversation, "220 hello\r\n")
        _ = Self.play(&conversation, "250-x\r\n250 STARTTLS\r\n")
        #expect(Self.play(&conversation, "220 go\r\n250 injected\r\n") == .failed(.reply))
        #expect(conversation.secured() == .failed(.reply))
    }

    @Test(arguments: [
        (0, "550 no\r\n", BrokerFailure.Code.rights), (1, "550 who\r\n", .rights), (1, "450 busy\r\n", .unavailable),
        (2, "530 log in\r\n", .authentication), (3, "354 early\r\n", .reply), (4, "250 no data\r\n", .reply),
        (5, "554 spam\r\n", .statement),
    ])
    func aRefusalAtAnyStepEndsIt(step: Int, reply: String, code: BrokerFailure.Code) throws {
        var conversation = SMTPConversation(try Self.mail(.implicit))
        _ = Self.play(&conversation, "220 hello\r\n")
        for (reply, _) in Self.afterTLS.prefix(step) { _ = Self.play(&conversation, reply) }
        #expect(Self.play(&conversation, reply) == .failed(code))
    }

    /// Who has left does not keep the others from their mail; where nobody is left there is none.
    @Test func aRecipientThatIsRefusedIsLeftOut() throws {
        for (replies, next) in [
            (["550 gone\r\n", "250 ok\r\n"], Self.line("DATA")), (["250 ok\r\n", "550 gone\r\n"], Self.line("DATA")),
            (["550 gone\r\n", "550 gone\r\n"], .failed(.rights)),
            (["250 ok\r\n", "450 busy\r\n"], .failed(.unavailable)),
        ] {
            var conversation = SMTPConversation(try Self.mail(.implicit))
            _ = Self.play(&conversation, "220 hello\r\n")
            for (reply, _) in Self.afterTLS.prefix(2) { _ = Self.play(&conversation, reply) }
            #expect(Self.play(&conversation, replies[0]) == Self.line("RCPT TO:<b@example.org>"))
            #expect(Self.play(&conversation, replies[1]) == next)
        }
    }

    @Test func aLoginThatIsNotOfferedOrNotAcceptedEndsIt() throws {
        var conversation = SMTPConversation(try Self.mail(.implicit, user: "u"))
        _ = Self.play(&conversation, "220 hello\r\n")
        #expect(Self.play(&conversation, "250-x\r\n250 AUTH CRAM-MD5\r\n") == .failed(.authentication))
        conversation = SMTPConversation(try Self.mail(.implicit, user: "u"))
        _ = Self.play(&conversation, "220 hello\r\n")
        _ = Self.play(&conversation, "250-x\r\n250 AUTH PLAIN\r\n")
        #expect(Self.play(&conversation, "535 no\r\n") == .failed(.authentication))
    }

    @Test(arguments: [
        "\r\n", "22\r\n", "abc hello\r\n", "120 hello\r\n", "620 hello\r\n", "220+hello\r\n", "220 hello\n",
        "220-a\r\n221 b\r\n", "220 a\0b\r\n", String(repeating: "x", count: 600),
        "220 " + String(repeating: "x", count: 600) + "\r\n",
        String(repeating: "220-x\r\n", count: 70),
    ])
    func whatIsNoReplyEndsIt(bytes: String) throws {
        var conversation = SMTPConversation(try Self.mail())
        #expect(Self.play(&conversation, bytes) == .failed(.reply))
    }

    @Test func noServerCanMakeItSpeakTwiceOrTalkForEver() throws {
        var generator = SystemRandomNumberGenerator()
        let script = ["220 hello\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n"] + Self.afterTLS.map(\.0)
        for _ in 0..<5000 {
            var conversation = SMTPConversation(try Self.mail())
            var finished = 0
            for step in script {
                var bytes = Array(step.utf8)
                if Bool.random(using: &generator) {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
                        in: 0...255,
                        using: &generator
                    )
                }
                var action = conversation.received(bytes)
                if action == .startTLS { action = conversation.secured() }
                if case .finished = action { finished += 1 }
                if case .failed = action {
                    #expect(conversation.received(Array("250 ok\r\n".utf8)) == .none)
                    break
                }
            }
            #expect(finished <= 1)
        }
    }
}
