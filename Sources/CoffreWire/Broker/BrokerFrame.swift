/// The frame of the protocol between coffred and coffre-broker.
///
/// `length(4, big endian, of all that follows, at most 1 MiB) ‖ version(1) = 1 ‖ type(1) ‖ job id(16) ‖ body`.
/// coffred alone asks (`job`, `ack`, `collect`); the broker alone answers (`answer`, `gone`).
public enum BrokerFrame {
    /// The only version of this protocol.
    public static let version: UInt8 = 1
    /// The largest value of the length field, in bytes.
    public static let maximumLength = 1 << 20
    /// Bytes before the body, the length field included.
    public static let headerBytes = 22
    /// The longest body, in bytes.
    public static let maximumBodyBytes = maximumLength - (headerBytes - 4)

    /// What a frame is.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// Do this once: the body is a ``BrokerJob``.
        case job = 1
        /// What became of a job: the body is a ``BrokerAnswer/Parcel``.
        case answer = 2
        /// coffred has the answer durably; the broker forgets the job. No body.
        case ack = 3
        /// Ask for the parked answer of a job. No body.
        case collect = 4
        /// The broker knows no such job. No body.
        case gone = 5
    }

    /// The first 22 bytes of a frame, checked.
    public struct Header: Sendable, Equatable {
        /// What the frame is.
        public let kind: Kind
        /// The job it is about.
        public let jobID: BrokerJobID
        /// Length of the body that follows, in bytes.
        public let bodyBytes: Int

        /// A header for a body of `bodyBytes`.
        /// - Throws: ``BrokerWireError`` `.tooLong` above ``BrokerFrame/maximumBodyBytes``, `.wrongLength` when a
        ///   frame without a body is given one, or the reverse.
        public init(kind: Kind, jobID: BrokerJobID, bodyBytes: Int) throws(BrokerWireError) {
            guard bodyBytes >= 0, bodyBytes <= BrokerFrame.maximumBodyBytes else {
                throw BrokerWireError(.tooLong, "a broker frame is at most 1 MiB")
            }
            let hasBody = kind == .job || kind == .answer
            guard hasBody == (bodyBytes > 0) else {
                throw BrokerWireError(.wrongLength, "jobs and answers have a body, other broker frames have none")
            }
            self.kind = kind
            self.jobID = jobID
            self.bodyBytes = bodyBytes
        }

        /// Reads a header from the first bytes of a stream.
        /// - Parameter bytes: what has arrived; bytes after the header are not looked at.
        /// - Returns: nil while fewer than 22 bytes are there and those that are could still begin a frame.
        /// - Throws: ``BrokerWireError``; the stream is lost then. Lengths are refused as soon as four bytes are there.
        public static func parse(_ bytes: UnsafeRawBufferPointer) throws(BrokerWireError) -> Header? {
            guard bytes.count >= 4 else { return nil }
            let length = Int(bytes.bigEndian32(at: 0))
            guard length <= BrokerFrame.maximumLength else {
                throw BrokerWireError(.tooLong, "a broker frame is at most 1 MiB")
            }
            guard length >= BrokerFrame.headerBytes - 4 else {
                throw BrokerWireError(.wrongLength, "a broker frame is shorter than its header")
            }
            guard bytes.count >= 5 else { return nil }
            guard bytes[4] == BrokerFrame.version else {
                throw BrokerWireError(.unsupportedVersion, "the other side speaks another version of the protocol")
            }
            guard bytes.count >= 6 else { return nil }
            guard let kind = Kind(rawValue: bytes[5]) else {
                throw BrokerWireError(.unknownType, "unknown type of broker frame")
            }
            guard bytes.count >= BrokerFrame.headerBytes else { return nil }
            return try Header(
                kind: kind,
                jobID: BrokerJobID(high: bytes.bigEndian64(at: 6), low: bytes.bigEndian64(at: 14)),
                bodyBytes: length - (BrokerFrame.headerBytes - 4)
            )
        }

        /// The header's 22 bytes.
        public func encode() -> [UInt8] {
            let length = UInt32(BrokerFrame.headerBytes - 4 + bodyBytes)
            return length.bigEndianBytes + [BrokerFrame.version, kind.rawValue] + jobID.bytes
        }
    }

    /// A frame that holds no secret, whole.
    /// - Throws: ``BrokerWireError`` as ``Header/init(kind:jobID:bodyBytes:)`` does.
    public static func encode(_ kind: Kind, jobID: BrokerJobID, body: [UInt8] = []) throws(BrokerWireError) -> [UInt8] {
        try Header(kind: kind, jobID: jobID, bodyBytes: body.count).encode() + body
    }
}

/// The sixteen random bytes that name a job.
public struct BrokerJobID: Sendable, Hashable, CustomStringConvertible {
    private let high: UInt64
    private let low: UInt64

    /// From two big-endian halves.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// From exactly 16 bytes; nil for any other number.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        high = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// From 32 lower-case hex digits, as ``description`` gives them.
    public init?(_ text: String) {
        guard text.utf8.count == 32, text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }),
            let high = UInt64(text.prefix(16), radix: 16), let low = UInt64(text.suffix(16), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    /// The 16 bytes.
    public var bytes: [UInt8] { high.bigEndianBytes + low.bigEndianBytes }

    /// 32 lower-case hex digits.
    public var description: String {
        func hex(_ half: UInt64) -> String {
            let digits = String(half, radix: 16)
            return String(repeating: "0", count: 16 - digits.utf8.count) + digits
        }
        return hex(high) + hex(low)
    }
}
