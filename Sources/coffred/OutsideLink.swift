internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Sends what the log says to the outside, by the broker. Blocks; not for the event loop.
struct OutsideLink: Sendable {
    let broker: BrokerLink
    let settings: WitnessSettings
    /// `user:password` of the mail server.
    let mailCredential: SharedSecret?

    func send(_ message: OutsideConfiguration.Message) -> OutsideConfiguration.Answer {
        let postman = Postman(broker: broker)
        switch message {
        case .addCheckpoint(let index, let body):
            return postman.post(settings.cosigners[index].target, "text/plain; charset=utf-8", body)
        case .stamp(let request):
            guard let target = settings.stampAuthority else { return .failed("no authority is configured") }
            return postman.post(target, "application/timestamp-query", request)
        case .webhook(let head):
            guard let target = settings.webhook else { return .failed("no web server is configured") }
            return postman.post(target, "application/json", Self.json(head))
        case .mail(let head):
            guard let mail = settings.mail else { return .failed("no mail server is configured") }
            return postman.send(mail, mailCredential, HeadMail(head, from: mail.from, to: mail.recipients).message)
        }
    }

    private static func json(_ head: SignedHead) -> [UInt8] {
        JSONValue.object([
            "origin": .string(head.origin), "size": .integer(head.size), "root": .string(head.rootHash),
            "note": .string(String(decoding: head.note, as: UTF8.self)),
        ]).encoded()
    }
}
