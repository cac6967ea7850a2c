/// One HTTP POST or GET for coffre-broker: to a place that coffred names, without a credential, without redirects.
///
/// Its answer is not kept for later: whoever asks can ask again.
public struct BrokerPost: Sendable, Equatable {
    /// Largest body that is sent, in bytes.
    public static let maximumBodyBytes = 65_536
    /// Longest content type, in bytes.
    public static let maximumTypeBytes = 128
    static let kind: UInt8 = 32

    private enum Tag {
        static let kind: UInt8 = 1
        static let scheme: UInt8 = 2
        static let host: UInt8 = 3
        static let port: UInt8 = 4
        static let path: UInt8 = 5
        static let contentType: UInt8 = 6
        static let body: UInt8 = 7
        static let timeout: UInt8 = 8
        static let method: UInt8 = 9
        static let signature: UInt8 = 10
    }

    /// How it is asked.
    public enum Method: UInt8, Sendable, CaseIterable {
        /// Something is sent.
        case post = 1
        /// Something is fetched: there is no body.
        case get = 2
    }

    /// Where it goes.
    public let target: WebTarget
    /// How it is asked.
    public let method: Method
    /// Of what is sent, or what is wanted (`Accept`); printable ASCII.
    public let contentType: String
    /// What is sent.
    public let body: [UInt8]
    /// Seconds from the look-up of the name to the last byte of the answer, 1–600.
    public let timeoutSeconds: UInt32
    /// What is said in `X-Coffre-Signature`; printable ASCII, empty for none.
    public let signature: String

    /// - Throws: ``BrokerWireError`` `.tooLong`, `.invalidField`.
    public init(
        target: WebTarget,
        method: Method = .post,
        contentType: String,
        body: [UInt8],
        timeoutSeconds: UInt32 = 10,
        signature: String = ""
    ) throws(BrokerWireError) {
        guard signature.utf8.count <= Self.maximumTypeBytes,
            signature.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw BrokerWireError(.invalidField, "a signature is printable ASCII") }
        guard method == .post || body.isEmpty else { throw BrokerWireError(.invalidField, "a GET has no body") }
        guard (1...Self.maximumTypeBytes).contains(contentType.utf8.count),
            contentType.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
        else { throw BrokerWireError(.invalidField, "a content type is printable ASCII") }
        guard body.count <= Self.maximumBodyBytes else { throw BrokerWireError(.tooLong, "a body is at most 64 KiB") }
        guard (1...BrokerJob.Limit.timeoutSeconds).contains(timeoutSeconds) else {
            throw BrokerWireError(.invalidField, "a time-out is 1 to 600 seconds")
        }
        self.target = target
        self.method = method
        self.contentType = contentType
        self.body = body
        self.timeoutSeconds = timeoutSeconds
        self.signature = signature
    }

    /// The body of a job frame.
    public func encode() -> [UInt8] {
        let fields: [(UInt8, [UInt8])] = [
            (Tag.kind, [Self.kind]), (Tag.scheme, [target.scheme.rawValue]), (Tag.host, Array(target.host.utf8)),
            (Tag.port, target.port.bigEndianBytes), (Tag.path, Array(target.path.utf8)),
            (Tag.contentType, Array(contentType.utf8)), (Tag.body, body),
            (Tag.timeout, timeoutSeconds.bigEndianBytes), (Tag.method, [method.rawValue]),
            (Tag.signature, Array(signature.utf8)),
        ]
        return fields.flatMap { [$0.0] + UInt32($0.1.count).bigEndianBytes + $0.1 }
    }

    /// Reads the body of a job frame.
    /// - Throws: ``BrokerWireError`` on anything that ``encode()`` does not write.
    public init(decoding body: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerFieldReader(body)
        guard try reader.number(Tag.kind, bytes: 1) == Self.kind else {
            throw BrokerWireError(.invalidField, "the job is no POST")
        }
        guard let scheme = WebTarget.Scheme(rawValue: UInt8(try reader.number(Tag.scheme, bytes: 1))) else {
            throw BrokerWireError(.invalidField, "unknown scheme")
        }
        let host = try reader.text(Tag.host, atMost: BrokerJob.Limit.host)
        let port = UInt16(try reader.number(Tag.port, bytes: 2))
        let path = try reader.text(Tag.path, atMost: WebTarget.maximumPathBytes)
        let contentType = try reader.text(Tag.contentType, atMost: Self.maximumTypeBytes)
        let content = try reader.required(Tag.body, atMost: Self.maximumBodyBytes)
        let timeout = UInt32(try reader.number(Tag.timeout, bytes: 4))
        guard let method = Method(rawValue: UInt8(try reader.number(Tag.method, bytes: 1))) else {
            throw BrokerWireError(.invalidField, "unknown method")
        }
        let signature = try reader.text(Tag.signature, atMost: Self.maximumTypeBytes)
        try reader.finish()
        try self.init(
            target: WebTarget(scheme: scheme, host: host, port: port, path: path),
            method: method,
            contentType: contentType,
            body: Array(content),
            timeoutSeconds: timeout,
            signature: signature
        )
    }
}

/// What a web server answered to a ``BrokerPost``: untrusted.
public struct BrokerReply: Sendable, Equatable {
    /// Largest body that is handed on, in bytes; a longer one fails the job.
    public static let maximumBodyBytes = 65_536

    private enum Tag {
        static let status: UInt8 = 1
        static let contentType: UInt8 = 2
        static let body: UInt8 = 3
    }

    /// The HTTP status, 100–999.
    public let status: UInt16
    /// Printable ASCII, at most 128 bytes; empty when the server names none, or none such.
    public let contentType: String
    /// What came.
    public let body: [UInt8]

    /// A content type that is not short printable ASCII is left out.
    /// - Throws: ``BrokerWireError``.
    public init(status: UInt16, contentType: String, body: [UInt8]) throws(BrokerWireError) {
        guard (100...999).contains(status) else { throw BrokerWireError(.invalidField, "no HTTP status") }
        guard body.count <= Self.maximumBodyBytes else { throw BrokerWireError(.tooLong, "a reply is at most 64 KiB") }
        self.status = status
        let isClean =
            contentType.utf8.count <= BrokerPost.maximumTypeBytes
            && contentType.utf8.allSatisfy { (0x20...0x7e).contains($0) }
        self.contentType = isClean ? contentType : ""
        self.body = body
    }

    func encode() -> [UInt8] {
        let fields = [
            (Tag.status, status.bigEndianBytes), (Tag.contentType, Array(contentType.utf8)), (Tag.body, body),
        ]
        return fields.flatMap { [$0.0] + UInt32($0.1.count).bigEndianBytes + $0.1 }
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerFieldReader(bytes)
        let status = UInt16(try reader.number(Tag.status, bytes: 2))
        let contentType = try reader.text(Tag.contentType, atMost: BrokerPost.maximumTypeBytes)
        let body = try reader.required(Tag.body, atMost: Self.maximumBodyBytes)
        try reader.finish()
        guard contentType.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else {
            throw BrokerWireError(.invalidField, "a content type is printable ASCII")
        }
        try self.init(status: status, contentType: contentType, body: Array(body))
    }
}
