/// What a job frame asks for, told apart by its first field.
public enum BrokerWork {
    /// Something in a database.
    case database(BrokerJobView)
    /// Hand something to a web server.
    case post(BrokerPost)
    /// Send a message.
    case mail(BrokerMailView)
    /// Speak to an OAuth provider.
    case oauth(BrokerOAuthView)

    /// Reads the body of a job frame.
    /// - Throws: ``BrokerWireError``.
    public init(decoding body: UnsafeRawBufferPointer) throws(BrokerWireError) {
        // The first field is the kind: tag 1, length 1.
        switch body.count > 5 ? body[5] : 0 {
        case BrokerPost.kind: self = .post(try BrokerPost(decoding: body))
        case BrokerMail.kind: self = .mail(try BrokerMailView(decoding: body))
        case BrokerOAuth.code: self = .oauth(try BrokerOAuthView(decoding: body))
        default: self = .database(try BrokerJobView(decoding: body))
        }
    }

    /// For the journal.
    public var name: String {
        switch self {
        case .database(let view): "\(view.job.kind)"
        case .post: "post"
        case .mail: "mail"
        case .oauth(let view): "oauth \(view.job.kind)"
        }
    }

    /// Where it goes, so that one server that does not answer can be told from the others.
    public var target: String {
        switch self {
        case .database(let view): "\(view.job.host.lowercased()):\(view.job.port)"
        case .oauth(let view): "\(view.job.target.host.lowercased()):\(view.job.target.port)"
        case .post: "post"
        case .mail: "mail"
        }
    }

    /// Whom a parked answer is sealed to; nil when the answer is not kept.
    public var publicKey: [UInt8]? {
        switch self {
        case .database(let view): [.inspect, .audit, .check].contains(view.job.kind) ? nil : view.job.publicKey
        case .oauth(let view): view.job.publicKey
        case .post, .mail: nil
        }
    }
}

@available(*, unavailable)
extension BrokerWork: Sendable {}
