/// One message for a mail server. The password is lent to ``encode(password:into:)`` and never stored here.
///
/// Its answer is not kept for later.
public struct BrokerMail: Sendable, Equatable {
    /// How the connection is protected; always.
    public enum Security: UInt8, Sendable, CaseIterable {
        /// TLS from the first byte (RFC 8314 §3.3, port 465).
        case implicit = 1
        /// STARTTLS (RFC 3207), without which nothing is sent.
        case startTLS = 2
    }

    /// Limits of the fields, in bytes where nothing else is said.
    public enum Limit {
        /// An address (RFC 5321 §4.5.3.1.3).
        public static let address = 254
        /// Number of recipients.
        public static let recipients = 16
        /// The message with its headers.
        public static let message = 65_536
        /// One line of it, without its end (RFC 5322 §2.1.1).
        public static let line = 998
        /// User name and password.
        public static let credential = 255
    }

    static let kind: UInt8 = 33

    private enum Tag {
        static let kind: UInt8 = 1
        static let host: UInt8 = 2
        static let port: UInt8 = 3
        static let security: UInt8 = 4
        static let from: UInt8 = 5
        static let recipients: UInt8 = 6
        static let message: UInt8 = 7
        static let timeout: UInt8 = 8
        static let user: UInt8 = 9
        static let password: UInt8 = 10
    }

    /// Name or address of the server.
    public let host: String
    /// TCP port.
    public let port: UInt16
    /// How the connection is protected.
    public let security: Security
    /// Envelope sender.
    public let from: String
    /// Envelope recipients, 1–16.
    public let recipients: [String]
    /// RFC 5322 message: lines of printable ASCII that each end with CR LF.
    public let message: [UInt8]
    /// Login; nil sends without one.
    public let user: String?
    /// Seconds for everything, 1–600.
    public let timeoutSeconds: UInt32

    /// - Throws: ``BrokerWireError`` `.tooLong`, `.invalidField`.
    public init(
        host: String,
        port: UInt16,
        security: Security,
        from: String,
        recipients: [String],
        message: [UInt8],
        user: String? = nil,
        timeoutSeconds: UInt32 = 30
    ) throws(BrokerWireError) {
        // The same rules as for a web server's host and port.
        _ = try WebTarget(scheme: .https, host: host, port: port, path: "/")
        guard (1...Limit.recipients).contains(recipients.count), (recipients + [from]).allSatisfy(Self.isAddress) else {
            throw BrokerWireError(.invalidField, "takes addresses such as officer@example.org, at most 16")
        }
        guard Self.isMessage(message) else {
            throw BrokerWireError(.invalidField, "a message is lines of at most 998 ASCII characters, 64 KiB in all")
        }
        if let user { try Self.check(user) }
        guard (1...BrokerJob.Limit.timeoutSeconds).contains(timeoutSeconds) else {
            throw BrokerWireError(.invalidField, "a time-out is 1 to 600 seconds")
        }
        self.host = host
        self.port = port
        self.security = security
        self.from = from
        self.recipients = recipients
        self.message = message
        self.user = user
        self.timeoutSeconds = timeoutSeconds
    }

    /// Whether `text` is an address that needs no quoting: one `@`, printable ASCII without spaces and `<>()[]\,;:"`.
    public static func isAddress(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        return parts.count == 2 && !parts[0].isEmpty && !parts[1].isEmpty && text.utf8.count <= Limit.address
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && !Array("<>()[]\\,;:\"".utf8).contains($0) }
    }

    private static func isMessage(_ bytes: [UInt8]) -> Bool {
        guard (2...Limit.message).contains(bytes.count), bytes.suffix(2) == [0x0d, 0x0a] else { return false }
        var length = 0
        var isAfterCR = false
        for byte in bytes {
            switch byte {
            case 0x0d where !isAfterCR: isAfterCR = true
            case 0x0a where isAfterCR:
                isAfterCR = false
                length = 0
            case 0x20...0x7e where !isAfterCR && length < Limit.line: length += 1
            default: return false
            }
        }
        return true
    }

    private static func check(_ user: String) throws(BrokerWireError) {
        guard (1...Limit.credential).contains(user.utf8.count), user.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
        else { throw BrokerWireError(.invalidField, "a user name is 1 to 255 bytes without control characters") }
    }

    private var fields: [(UInt8, [UInt8])] {
        let list = recipients.joined(separator: ",")
        let fields: [(UInt8, [UInt8])] = [
            (Tag.kind, [Self.kind]), (Tag.host, Array(host.utf8)), (Tag.port, port.bigEndianBytes),
            (Tag.security, [security.rawValue]), (Tag.from, Array(from.utf8)), (Tag.recipients, Array(list.utf8)),
            (Tag.message, message), (Tag.timeout, timeoutSeconds.bigEndianBytes),
        ]
        return fields + (user.map { [(Tag.user, Array($0.utf8))] } ?? [])
    }

    /// Length of the encoded body, in bytes.
    public func encodedSize(passwordBytes: Int?) -> Int {
        fields.reduce(0) { $0 + 5 + $1.1.count } + (passwordBytes.map { 5 + $0 } ?? 0)
    }

    /// Writes the body of a job frame.
    /// - Parameters:
    ///   - password: 1 to 255 bytes without NUL; exactly when there is a user.
    ///   - target: at least ``encodedSize(passwordBytes:)`` bytes; the caller wipes it.
    /// - Throws: ``BrokerWireError``.
    @discardableResult
    public func encode(
        password: UnsafeRawBufferPointer?,
        into target: UnsafeMutableRawBufferPointer
    ) throws(BrokerWireError) -> Int {
        try check(password: password)
        guard encodedSize(passwordBytes: password?.count) <= target.count else {
            throw BrokerWireError(.tooLong, "the job does not fit its buffer")
        }
        var writer = BrokerFieldWriter(target)
        for (tag, field) in fields { writer.append(tag, field) }
        if let password { writer.append(Tag.password, password) }
        return writer.count
    }

    fileprivate func check(password: UnsafeRawBufferPointer?) throws(BrokerWireError) {
        guard (password == nil) == (user == nil) else {
            throw BrokerWireError(.invalidField, "a user and a password come together")
        }
        guard password.map({ (1...Limit.credential).contains($0.count) && !$0.contains(0) }) != false else {
            throw BrokerWireError(.invalidField, "a password is 1 to 255 bytes without NUL")
        }
    }

    fileprivate init(_ reader: inout BrokerFieldReader) throws(BrokerWireError) {
        guard try reader.number(Tag.kind, bytes: 1) == Self.kind else {
            throw BrokerWireError(.invalidField, "the job is no mail")
        }
        let host = try reader.text(Tag.host, atMost: BrokerJob.Limit.host)
        let port = UInt16(try reader.number(Tag.port, bytes: 2))
        guard let security = Security(rawValue: UInt8(try reader.number(Tag.security, bytes: 1))) else {
            throw BrokerWireError(.invalidField, "unknown protection of the connection")
        }
        let from = try reader.text(Tag.from, atMost: Limit.address)
        let list = try reader.text(Tag.recipients, atMost: Limit.recipients * (Limit.address + 1))
        let message = try reader.required(Tag.message, atMost: Limit.message)
        let timeout = UInt32(try reader.number(Tag.timeout, bytes: 4))
        let user = try reader.optionalText(Tag.user, atMost: Limit.credential)
        try self.init(
            host: host,
            port: port,
            security: security,
            from: from,
            recipients: list.split(separator: ",", omittingEmptySubsequences: false).map(String.init),
            message: Array(message),
            user: user,
            timeoutSeconds: timeout
        )
    }

    fileprivate static func password(_ reader: inout BrokerFieldReader) throws(BrokerWireError)
        -> UnsafeRawBufferPointer?
    {
        try reader.optional(Tag.password, atMost: Limit.credential)
    }
}

/// A decoded ``BrokerMail``. The password is a part of the buffer that it was decoded from.
public struct BrokerMailView {
    /// Everything but the password.
    public let mail: BrokerMail
    /// Nil when the mail server asks for none.
    public let password: UnsafeRawBufferPointer?

    /// - Throws: ``BrokerWireError`` on anything that ``BrokerMail/encode(password:into:)`` does not write.
    public init(decoding body: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerFieldReader(body)
        mail = try BrokerMail(&reader)
        password = try BrokerMail.password(&reader)
        try reader.finish()
        try mail.check(password: password)
    }
}

@available(*, unavailable)
extension BrokerMailView: Sendable {}
