extension BrokerOAuth {
    private enum Tag {
        static let kind: UInt8 = 1
        static let form: UInt8 = 2
        static let rootCertificate: UInt8 = 3
        static let clientCertificate: UInt8 = 4
        static let publicKey: UInt8 = 5
    }

    private static let order = Secret.allCases.sorted { $0.rawValue < $1.rawValue }

    private var fields: [(UInt8, [UInt8])] {
        var fields: [(UInt8, [UInt8])] = [(Tag.kind, [Self.code]), (Tag.form, form)]
        if let rootCertificate { fields.append((Tag.rootCertificate, rootCertificate)) }
        if let clientCertificate { fields.append((Tag.clientCertificate, clientCertificate)) }
        return fields + [(Tag.publicKey, publicKey)]
    }

    private var form: [UInt8] {
        var writer = BrokerListWriter()
        for byte in [
            kind.rawValue, target.scheme.rawValue, method.rawValue, body.rawValue, authentication.rawValue,
            tokenPlace.rawValue, quirks.rawValue, minimumTLS.rawValue,
        ] { writer.append(byte) }
        writer.append(target.host)
        writer.append(target.port)
        writer.append(target.path)
        writer.append(timeoutSeconds)
        writer.append(clientID)
        writer.append(grantType)
        writer.append(grantParameter)
        writer.append(tokenObject)
        Self.write(parameters, &writer)
        Self.write(headers, &writer)
        Self.write(learns, &writer)
        writer.append(assertion != nil)
        assertion?.write(&writer)
        return writer.bytes
    }

    static func write(_ pairs: [Pair], _ writer: inout BrokerListWriter) {
        writer.append(count: pairs.count)
        for pair in pairs {
            writer.append(pair.name)
            writer.append(pair.value)
        }
    }

    static func pairs(_ reader: inout BrokerListReader, atMost limit: Int) throws(BrokerWireError) -> [Pair] {
        var pairs: [Pair] = []
        for _ in 0..<(try reader.count(atMost: limit)) {
            let name = try reader.text(1...Limit.name)
            pairs.append(Pair(name, try reader.text(0...Limit.value)))
        }
        return pairs
    }

    /// Length of the encoded body, in bytes.
    /// - Parameter secretBytes: length of each secret that goes along.
    public func encodedSize(secretBytes: [Secret: Int]) -> Int {
        fields.reduce(0) { $0 + 5 + $1.1.count } + secretBytes.reduce(0) { $0 + 5 + $1.value }
    }

    /// Writes the body of a job frame.
    /// - Parameters:
    ///   - secrets: what ``secrets-swift.property`` asks for.
    ///   - target: at least ``encodedSize(secretBytes:)`` bytes; the caller wipes it.
    /// - Returns: the number of bytes written.
    /// - Throws: ``BrokerWireError`` as ``validate()`` does, or `.tooLong` when the target is too small.
    @discardableResult
    public func encode(
        secrets: [Secret: UnsafeRawBufferPointer],
        into target: UnsafeMutableRawBufferPointer
    ) throws(BrokerWireError) -> Int {
        try validate()
        try check(secrets)
        let fields = fields
        let size = encodedSize(secretBytes: secrets.mapValues(\.count))
        guard size <= target.count, size <= BrokerFrame.maximumBodyBytes, fields[1].1.count <= Limit.encoded else {
            throw BrokerWireError(.tooLong, "the job does not fit its buffer or frame")
        }
        var writer = BrokerFieldWriter(target)
        for (tag, field) in fields { writer.append(tag, field) }
        for secret in Self.order {
            if let bytes = secrets[secret] { writer.append(secret.rawValue, bytes) }
        }
        return writer.count
    }

    fileprivate init(_ reader: inout BrokerFieldReader) throws(BrokerWireError) {
        guard try reader.number(Tag.kind, bytes: 1) == Self.code else { throw Self.invalid("the job is not of OAuth") }
        var form = BrokerListReader(try reader.required(Tag.form, atMost: Limit.encoded))
        guard let kind = Kind(rawValue: try form.number()), let scheme = WebTarget.Scheme(rawValue: try form.number()),
            let method = Method(rawValue: try form.number()), let body = Body(rawValue: try form.number()),
            let authentication = ClientAuthentication(rawValue: try form.number()),
            let tokenPlace = TokenPlace(rawValue: try form.number())
        else { throw Self.invalid("a choice of the job is unknown") }
        let quirks = Quirks(rawValue: try form.number())
        guard let minimumTLS = BrokerJob.MinimumTLS(rawValue: try form.number()) else {
            throw Self.invalid("unknown protection of the connection")
        }
        let host = try form.text(1...BrokerJob.Limit.host)
        let port: UInt16 = try form.number()
        let path = try form.text(1...WebTarget.maximumPathBytes)
        self.init(kind, at: try WebTarget(scheme: scheme, host: host, port: port, path: path))
        self.method = method
        self.body = body
        self.authentication = authentication
        self.tokenPlace = tokenPlace
        self.quirks = quirks
        self.minimumTLS = minimumTLS
        timeoutSeconds = try form.number()
        clientID = try form.optionalText(1...Limit.value)
        grantType = try form.optionalText(1...Limit.value)
        grantParameter = try form.optionalText(1...Limit.name)
        tokenObject = try form.optionalText(1...Limit.path)
        parameters = try Self.pairs(&form, atMost: Limit.parameters)
        headers = try Self.pairs(&form, atMost: Limit.headers)
        learns = try Self.pairs(&form, atMost: Limit.learns)
        assertion = try form.flag() ? OAuthAssertion(&form) : nil
        try form.finish()
        rootCertificate = try reader.optional(Tag.rootCertificate, atMost: BrokerJob.Limit.certificate).map {
            Array($0)
        }
        clientCertificate =
            try reader.optional(Tag.clientCertificate, atMost: BrokerJob.Limit.certificate).map { Array($0) }
        publicKey = Array(try reader.required(Tag.publicKey, atMost: 32))
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
}

/// A decoded ``BrokerOAuth``. Its secrets are parts of the buffer that it was decoded from: they live as long as that does.
public struct BrokerOAuthView {
    /// Everything but the secrets.
    public let job: BrokerOAuth
    /// What was lent.
    public let secrets: [BrokerOAuth.Secret: UnsafeRawBufferPointer]

    /// Reads the body of a job frame. What decodes encodes to the same bytes again.
    /// - Throws: ``BrokerWireError`` on anything that ``BrokerOAuth/encode(secrets:into:)`` does not write.
    public init(decoding body: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerFieldReader(body)
        job = try BrokerOAuth(&reader)
        secrets = try BrokerOAuth.secrets(&reader)
        try reader.finish()
        try job.validate()
        try job.check(secrets)
    }
}

@available(*, unavailable)
extension BrokerOAuthView: Sendable {}
