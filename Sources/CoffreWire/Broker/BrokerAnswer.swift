/// Why a job failed, coarse on purpose: the caller must not learn more about a network than that.
public struct BrokerFailure: Error, Sendable, Equatable {
    /// The closed list of causes.
    public enum Code: UInt8, Sendable, CaseIterable {
        /// The host has no address.
        case dns = 1
        /// Nothing listens there, or the way is blocked.
        case refused = 2
        /// The broker's configuration does not allow this address.
        case egressDenied = 3
        /// No TLS, or a certificate that does not verify.
        case tls = 4
        /// The server does not accept login or password.
        case authentication = 5
        /// The login lacks a right.
        case rights = 6
        /// The time allowed was not enough; what was begun may have happened.
        case timeout = 7
        /// The server refuses a statement.
        case statement = 8
        /// The server, or the broker, cannot take work now; what was begun may have happened.
        case unavailable = 9
        /// The job itself is not valid.
        case malformed = 10
        /// The server answered what cannot be used: too long, or not in its protocol.
        case reply = 11
    }

    /// The cause.
    public let code: Code
    /// The server's SQLSTATE (five of `0-9A-Z`), where it gave one; nil otherwise.
    public let sqlState: String?

    /// A failure; an `sqlState` that is not five of `0-9A-Z` is left out.
    public init(_ code: Code, sqlState: String? = nil) {
        self.code = code
        self.sqlState = sqlState.flatMap { Self.isState(Array($0.utf8)) ? $0 : nil }
    }

    static func isState(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.count == 5 && bytes.allSatisfy { (48...57).contains($0) || (65...90).contains($0) }
    }

    /// A sentence for people; holds no name, address or text of the server.
    public var sentence: String {
        switch code {
        case .dns: "the server's name has no address"
        case .refused: "nothing answers at the server's address"
        case .egressDenied: "the broker may not connect there: add the address to allow in its configuration"
        case .tls: "the server offers no TLS that can be trusted: check sslmode and the root certificate"
        case .authentication: "the server does not accept the user name or password"
        case .rights: "the login lacks a right for this: grant it, or use another login"
        case .timeout: "the server did not answer in time"
        case .statement: "the server refuses a statement: check the statements of the role"
        case .unavailable: "the server or the broker cannot take work now: try again later"
        case .malformed: "the job is not valid"
        case .reply: "the server's answer is too long, or not in the protocol that is expected of it"
        }
    }
}

/// What became of a job. Holds no secret, but is sealed all the same while it is parked.
public enum BrokerAnswer: Sendable, Equatable {
    /// Done. `serverVersion` and `tlsVersion` are short printable ASCII of the server's making: untrusted.
    case done(serverVersion: String?, tlsVersion: String?, sessionsEnded: Int)
    /// Not done.
    case failed(BrokerFailure)
    /// A web server has answered.
    case replied(BrokerReply)

    private enum Tag {
        static let done: UInt8 = 1
        static let failed: UInt8 = 2
        static let replied: UInt8 = 3
        static let serverVersion: UInt8 = 1
        static let tlsVersion: UInt8 = 2
        static let sessionsEnded: UInt8 = 3
    }

    /// Longest version text, in bytes.
    public static let maximumVersionBytes = 64

    /// The encoded answer. Versions are cut to 64 printable ASCII characters, the count to 32 bits.
    public func encode() -> [UInt8] {
        switch self {
        case .done(let serverVersion, let tlsVersion, let sessionsEnded):
            var bytes = [Tag.done]
            for (tag, text) in [(Tag.serverVersion, serverVersion), (Tag.tlsVersion, tlsVersion)] {
                guard let text else { continue }
                let clean = text.utf8.filter { (0x20...0x7e).contains($0) }.prefix(Self.maximumVersionBytes)
                bytes += [tag] + UInt32(clean.count).bigEndianBytes + clean
            }
            let count = UInt32(clamping: sessionsEnded)
            return bytes + [Tag.sessionsEnded] + UInt32(4).bigEndianBytes + count.bigEndianBytes
        case .failed(let failure):
            return [Tag.failed, failure.code.rawValue] + Array((failure.sqlState ?? "").utf8)
        case .replied(let reply): return [Tag.replied] + reply.encode()
        }
    }

    /// Reads an encoded answer, which is untrusted input.
    /// - Throws: ``BrokerWireError`` on anything that ``encode()`` does not write.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        guard let outcome = bytes.first else { throw BrokerWireError(.wrongLength, "the answer is empty") }
        let rest = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        switch outcome {
        case Tag.done:
            var reader = BrokerFieldReader(rest)
            let serverVersion = try reader.optionalText(Tag.serverVersion, atMost: Self.maximumVersionBytes)
            let tlsVersion = try reader.optionalText(Tag.tlsVersion, atMost: Self.maximumVersionBytes)
            for text in [serverVersion, tlsVersion] {
                guard text?.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) != false else {
                    throw BrokerWireError(.invalidField, "a version is not printable ASCII")
                }
            }
            let sessions = try reader.number(Tag.sessionsEnded, bytes: 4)
            try reader.finish()
            self = .done(serverVersion: serverVersion, tlsVersion: tlsVersion, sessionsEnded: Int(sessions))
        case Tag.failed:
            guard let first = rest.first, let code = BrokerFailure.Code(rawValue: first) else {
                throw BrokerWireError(.invalidField, "the answer has no known failure code")
            }
            let state = rest.dropFirst()
            guard state.isEmpty || BrokerFailure.isState(state) else {
                throw BrokerWireError(.invalidField, "the answer has no valid SQLSTATE")
            }
            self = .failed(
                BrokerFailure(code, sqlState: state.isEmpty ? nil : String(decoding: state, as: UTF8.self))
            )
        case Tag.replied: self = .replied(try BrokerReply(decoding: rest))
        default: throw BrokerWireError(.invalidField, "unknown outcome of a job")
        }
    }

    /// The body of an `answer` frame: a marker byte, then either the answer or a sealed box that holds one.
    public enum Parcel: Sendable, Equatable {
        /// Marker 0: the encoded answer.
        case plain(BrokerAnswer)
        /// Marker 1: the encoded answer in a sealed box (X25519) to the job's public key.
        case sealed([UInt8])

        /// Bytes that a sealed box adds; the shortest one.
        private static let boxOverheadBytes = 48

        /// The frame's body.
        public func encode() -> [UInt8] {
            switch self {
            case .plain(let answer): [0] + answer.encode()
            case .sealed(let box): [1] + box
            }
        }

        /// Reads the frame's body.
        /// - Throws: ``BrokerWireError``.
        public init(decoding body: UnsafeRawBufferPointer) throws(BrokerWireError) {
            let rest = UnsafeRawBufferPointer(rebasing: body.dropFirst())
            switch body.first {
            case 0: self = .plain(try BrokerAnswer(decoding: rest))
            case 1:
                guard (Self.boxOverheadBytes...4096).contains(rest.count) else {
                    throw BrokerWireError(.wrongLength, "a sealed answer has the wrong length")
                }
                self = .sealed(Array(rest))
            default: throw BrokerWireError(.invalidField, "unknown marker of an answer")
            }
        }
    }
}
