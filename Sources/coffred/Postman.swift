internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreVault
internal import CoffreWire

/// Hands mails and POSTs to the broker. Blocks; not for the event loop.
struct Postman: Sendable {
    /// Seconds that a web server has.
    private static let webSeconds: UInt32 = 10

    let broker: BrokerLink

    /// - Parameter signature: for `X-Coffre-Signature`; empty for none.
    func post(
        _ target: WebTarget,
        _ type: String,
        _ body: [UInt8],
        signature: String = ""
    ) -> OutsideConfiguration.Answer {
        answer {
            let job = try BrokerPost(
                target: target,
                contentType: type,
                body: body,
                timeoutSeconds: Self.webSeconds,
                signature: signature
            )
            return try perform(SharedSecret(copying: job.encode()))
        }
    }

    /// - Parameter credential: `user:password` of the mail server; nil sends without a login.
    func send(
        _ settings: MailSettings,
        _ credential: SharedSecret?,
        _ message: [UInt8]
    ) -> OutsideConfiguration.Answer {
        answer { try mail(settings, credential, message) }
    }

    private func answer(_ body: () throws -> OutsideConfiguration.Answer) -> OutsideConfiguration.Answer {
        do {
            return try body()
        } catch let error as BrokerTransportError {
            return .failed("the broker is not available: \(error.message)")
        } catch let error as BrokerWireError {
            return .failed(error.message)
        } catch {
            return .failed("it could not be sent")
        }
    }

    private func mail(
        _ settings: MailSettings,
        _ mailCredential: SharedSecret?,
        _ message: [UInt8]
    ) throws -> OutsideConfiguration.Answer {
        func mail(user: String?) throws(BrokerWireError) -> BrokerMail {
            try BrokerMail(
                host: settings.host,
                port: settings.port,
                security: settings.security,
                from: settings.from,
                recipients: settings.recipients,
                message: message,
                user: user
            )
        }
        guard let mailCredential else {
            let job = try mail(user: nil)
            var body = [UInt8](repeating: 0, count: job.encodedSize(passwordBytes: nil))
            try body.withUnsafeMutableBytes { _ = try job.encode(password: nil, into: $0) }
            return try perform(SharedSecret(copying: body))
        }
        let body = try mailCredential.withBytes { bytes throws(any Error) -> SharedSecret in
            guard let colon = bytes.firstIndex(of: 0x3a) else {
                throw BrokerTransportError("the mail credential is not user:password")
            }
            let job = try mail(user: String(decoding: bytes[..<colon], as: UTF8.self))
            let end = bytes.last == 0x0a ? bytes.count - 1 : bytes.count
            let password = UnsafeRawBufferPointer(rebasing: bytes[(colon + 1)..<max(end, colon + 1)])
            return SharedSecret(
                try SecretBytes(count: job.encodedSize(passwordBytes: password.count)) {
                    target throws(BrokerWireError) in
                    _ = try job.encode(password: password, into: target)
                }
            )
        }
        return try perform(body)
    }

    private func perform(_ body: SharedSecret) throws(BrokerTransportError) -> OutsideConfiguration.Answer {
        let frame = try broker.exchangeBlocking(.job, BrokerJobID(high: Self.word(), low: Self.word()), body: body)
        guard frame.kind == .answer else { return .failed("the broker does not know the job that it was given") }
        let parcel = frame.body.withUnsafeBytes { try? BrokerAnswer.Parcel(decoding: $0) }
        guard case .plain(let answer) = parcel else { return .failed("the broker's answer cannot be read") }
        switch answer {
        case .replied(let reply):
            return .replied(status: Int(reply.status), contentType: reply.contentType, body: reply.body)
        case .done: return .delivered
        case .failed(let failure):
            let sentence = Self.sentence(failure)
            return failure.code == .statement ? .refused(sentence) : .failed(sentence)
        case .differs, .inspected, .audited, .withdrawn: return .failed("the broker answered what it was not asked")
        }
    }

    private static func word() -> UInt64 { Random.bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }

    private static func sentence(_ failure: BrokerFailure) -> String {
        switch failure.code {
        case .tls: "no TLS that can be trusted: check the URL, and ca_file and tls_minimum in broker.toml"
        case .rights: "the mail server refuses the sender, or all recipients: check mail_from and mail_to"
        case .statement: "the mail server refuses the message"
        default: failure.sentence
        }
    }
}
