internal import CoffreWire

/// One message from greeting to farewell (RFC 5321, RFC 3207, RFC 4954). No input or output.
///
/// Nothing but EHLO and STARTTLS is said before TLS, and bytes that came before it are not believed after it.
struct SMTPConversation {
    enum Action: Equatable {
        /// Wait for the server.
        case none
        /// Send a line; CR LF included.
        case send([UInt8])
        /// Begin TLS on this connection, then tell ``secured()``.
        case startTLS
        /// Send `AUTH PLAIN` with user and password.
        case authenticate
        /// The message was accepted: say farewell and close.
        case finished([UInt8])
        case failed(BrokerFailure.Code)
    }

    private enum State {
        case greeting, hello, startTLS, handshake, login, sender, content, accepted, over
        case recipient(Int)
    }

    private let mail: BrokerMail
    private var parser = SMTPReply.Parser()
    private var state = State.greeting
    private var isSecure: Bool
    /// Recipients that the server takes.
    private var accepted = 0

    init(_ mail: BrokerMail) {
        self.mail = mail
        isSecure = mail.security == .implicit
    }

    /// What to do about bytes of the server.
    mutating func received(_ bytes: some Collection<UInt8>) -> Action {
        parser.append(bytes)
        if case .over = state { return .none }
        do throws(SMTPReply.Parser.Malformed) {
            guard let reply = try parser.next() else { return .none }
            // Nobody was asked anything: a server that speaks first after the greeting, or goes on, is not believed.
            guard !parser.holdsMore else { return end(.failed(.reply)) }
            return answer(to: reply)
        } catch {
            return end(.failed(.reply))
        }
    }

    /// TLS is up. - Returns: what to do now.
    mutating func secured() -> Action {
        guard case .handshake = state else { return end(.failed(.reply)) }
        isSecure = true
        state = .hello
        return line("EHLO \(domain)")
    }

    /// The connection has ended.
    mutating func closed() -> Action {
        if case .over = state { return .none }
        return end(.failed(.unavailable))
    }

    private var domain: String { mail.from.split(separator: "@").last.map(String.init) ?? "localhost" }

    private mutating func answer(to reply: SMTPReply) -> Action {
        switch (state, reply.code) {
        case (.greeting, 220):
            state = .hello
            return line("EHLO \(domain)")
        case (.hello, 250) where !isSecure:
            guard has("STARTTLS", reply) else { return end(.failed(.tls)) }
            state = .startTLS
            return line("STARTTLS")
        case (.startTLS, 220):
            state = .handshake
            return .startTLS
        case (.hello, 250) where mail.user != nil:
            guard reply.lines.contains(where: Self.offersPlain) else { return end(.failed(.authentication)) }
            state = .login
            return .authenticate
        case (.hello, 250), (.login, 235):
            state = .sender
            return line("MAIL FROM:<\(mail.from)>")
        case (.sender, 250): return recipient(0)
        case (.recipient(let index), 250), (.recipient(let index), 251), (.recipient(let index), 550..<560):
            // Who has left does not keep the others from their mail.
            if reply.code < 500 { accepted += 1 }
            guard index + 1 == mail.recipients.count else { return recipient(index + 1) }
            guard accepted > 0 else { return end(.failed(.rights)) }
            state = .content
            return line("DATA")
        case (.content, 354):
            state = .accepted
            return .send(Self.stuffed(mail.message) + Array(".\r\n".utf8))
        case (.accepted, 250): return end(.finished(Array("QUIT\r\n".utf8)))
        default: return end(.failed(failure(reply.code)))
        }
    }

    private func failure(_ code: Int) -> BrokerFailure.Code {
        switch (state, code) {
        case (.login, _), (_, 530), (_, 535): .authentication
        case (.startTLS, _): .tls
        case (_, 400..<500): .unavailable
        case (.content, 500..<600), (.accepted, 500..<600): .statement
        case (_, 500..<600): .rights
        default: .reply
        }
    }

    private mutating func recipient(_ index: Int) -> Action {
        state = .recipient(index)
        return line("RCPT TO:<\(mail.recipients[index])>")
    }

    private mutating func end(_ action: Action) -> Action {
        state = .over
        return action
    }

    private func line(_ text: String) -> Action { .send(Array("\(text)\r\n".utf8)) }

    private func has(_ keyword: String, _ reply: SMTPReply) -> Bool {
        reply.lines.dropFirst().contains { $0.uppercased() == keyword }
    }

    private static func offersPlain(_ line: String) -> Bool {
        let words = line.uppercased().split(separator: " ")
        return words.first == "AUTH" && words.contains("PLAIN")
    }

    /// A line that begins with a dot gets another one (RFC 5321 §4.5.2).
    static func stuffed(_ message: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(message.count + 16)
        var isStart = true
        for byte in message {
            if isStart, byte == 0x2e { bytes.append(0x2e) }
            bytes.append(byte)
            isStart = byte == 0x0a
        }
        return bytes
    }
}
