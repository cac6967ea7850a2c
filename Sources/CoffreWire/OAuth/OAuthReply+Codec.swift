extension OAuthReply {
    private enum Tag {
        /// Where other answers have their outcome: see ``BrokerAnswer``.
        static let answer: UInt8 = 7
        static let form: UInt8 = 1
    }

    /// Longest encoded reply, in bytes: what fits a sealed answer.
    public static let maximumBytes = BrokerAnswer.maximumSealedBytes - 48

    private static let order = Secret.allCases.sorted { $0.rawValue < $1.rawValue }

    private var form: [UInt8] {
        var writer = BrokerListWriter()
        switch outcome {
        case .granted: writer.append(UInt8(0))
        case .failed(let problem): writer.append(problem.rawValue)
        }
        writer.append(error)
        writer.append(status)
        for number in [expiresIn, refreshExpiresIn, interval, retryAfter, serverTime] { writer.append(number) }
        for text in [scope, tokenType, userCode, verificationURI, verificationURIComplete] { writer.append(text) }
        writer.append(count: learnt.count)
        for item in learnt {
            writer.append(item.name)
            writer.append(item.index)
            writer.append(item.value)
        }
        return writer.bytes
    }

    /// Length of the encoded reply, in bytes.
    public func encodedSize(secretBytes: [Secret: Int]) -> Int {
        1 + 5 + form.count + secretBytes.reduce(0) { $0 + 5 + $1.value }
    }

    /// Writes the reply with its secrets.
    /// - Parameters:
    ///   - secrets: each 1 to ``Secret/maximumBytes`` printable ASCII bytes.
    ///   - target: at least ``encodedSize(secretBytes:)`` bytes; the caller wipes it.
    /// - Returns: the number of bytes written.
    /// - Throws: ``BrokerWireError``.
    @discardableResult
    public func encode(
        secrets: [Secret: UnsafeRawBufferPointer],
        into target: UnsafeMutableRawBufferPointer
    ) throws(BrokerWireError) -> Int {
        try validate()
        try Self.check(secrets, outcome)
        let form = form
        let size = encodedSize(secretBytes: secrets.mapValues(\.count))
        guard size <= target.count, size <= Self.maximumBytes else {
            throw BrokerWireError(.tooLong, "the reply does not fit its buffer")
        }
        target[0] = Tag.answer
        var writer = BrokerFieldWriter(UnsafeMutableRawBufferPointer(rebasing: target.dropFirst()))
        writer.append(Tag.form, form)
        for secret in Self.order {
            if let bytes = secrets[secret] { writer.append(secret.rawValue, bytes) }
        }
        return writer.count + 1
    }

    fileprivate static func check(
        _ secrets: [Secret: UnsafeRawBufferPointer],
        _ outcome: Outcome
    ) throws(BrokerWireError) {
        guard outcome == .granted || secrets.isEmpty else {
            throw BrokerWireError(.invalidField, "a refusal holds no secret")
        }
        for (secret, bytes) in secrets {
            guard (1...secret.maximumBytes).contains(bytes.count) else {
                throw BrokerWireError(.tooLong, "a secret of the reply is empty or too long")
            }
            guard bytes.allSatisfy({ (0x20...0x7e).contains($0) }) else {
                throw BrokerWireError(.invalidField, "a secret of the reply is not printable ASCII")
            }
        }
    }

    fileprivate init(_ reader: inout BrokerFieldReader) throws(BrokerWireError) {
        var form = BrokerListReader(try reader.required(Tag.form, atMost: BrokerAnswer.maximumSealedBytes))
        let code: UInt8 = try form.number()
        let problem = OAuthProblem(rawValue: code)
        guard code == 0 || problem != nil else { throw BrokerWireError(.invalidField, "unknown outcome of a reply") }
        self.init(problem.map { .failed($0) } ?? .granted)
        error = try form.optionalText(1...Limit.word)
        status = try form.optionalNumber(UInt16.self)
        expiresIn = try form.optionalNumber(UInt64.self)
        refreshExpiresIn = try form.optionalNumber(UInt64.self)
        interval = try form.optionalNumber(UInt64.self)
        retryAfter = try form.optionalNumber(UInt64.self)
        serverTime = try form.optionalNumber(UInt64.self)
        scope = try form.optionalText(0...Limit.scope)
        tokenType = try form.optionalText(0...Limit.word)
        userCode = try form.optionalText(0...Limit.word)
        verificationURI = try form.optionalText(1...Limit.address)
        verificationURIComplete = try form.optionalText(1...Limit.address)
        for _ in 0..<(try form.count(atMost: Limit.learnt)) {
            let name = try form.text(1...BrokerOAuth.Limit.name)
            let index: UInt16 = try form.number()
            learnt.append(Learnt(name: name, index: index, value: try form.text(1...Limit.value)))
        }
        try form.finish()
    }

    fileprivate static func secrets(
        _ reader: inout BrokerFieldReader
    ) throws(BrokerWireError) -> [Secret: UnsafeRawBufferPointer] {
        var secrets: [Secret: UnsafeRawBufferPointer] = [:]
        for secret in order {
            secrets[secret] = try reader.optional(secret.rawValue, atMost: secret.maximumBytes)
        }
        return secrets
    }

    /// Whether these bytes, out of a sealed box, are a reply of this kind and not a ``BrokerAnswer``.
    public static func isReply(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.first == Tag.answer }

    fileprivate static func reader(_ bytes: UnsafeRawBufferPointer) throws(BrokerWireError) -> BrokerFieldReader {
        guard isReply(bytes) else { throw BrokerWireError(.invalidField, "the answer is not one of OAuth") }
        return BrokerFieldReader(UnsafeRawBufferPointer(rebasing: bytes.dropFirst()))
    }
}

/// A decoded ``OAuthReply``. Its secrets are parts of the buffer that it was decoded from: they live as long as that does.
public struct OAuthReplyView {
    /// Everything but the secrets.
    public let reply: OAuthReply
    /// What came.
    public let secrets: [OAuthReply.Secret: UnsafeRawBufferPointer]

    /// Reads an encoded reply, which is untrusted input. What decodes encodes to the same bytes again.
    /// - Throws: ``BrokerWireError`` on anything that ``OAuthReply/encode(secrets:into:)`` does not write.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = try OAuthReply.reader(bytes)
        reply = try OAuthReply(&reader)
        secrets = try OAuthReply.secrets(&reader)
        try reader.finish()
        try reply.validate()
        try OAuthReply.check(secrets, reply.outcome)
    }
}

@available(*, unavailable)
extension OAuthReplyView: Sendable {}
