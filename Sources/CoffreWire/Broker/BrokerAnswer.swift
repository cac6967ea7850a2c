/// What became of a job. Holds no secret, but is sealed all the same while it is parked.
public enum BrokerAnswer: Sendable, Equatable {
    /// Done. `serverVersion` and `tlsVersion` are short printable ASCII of the server's making: untrusted.
    case done(serverVersion: String?, tlsVersion: String?, sessionsEnded: Int)
    /// Not done.
    case failed(BrokerFailure)
    /// A web server has answered.
    case replied(BrokerReply)
    /// A provision was refused, as the login could do other than its plan says.
    case differs(GrantDifferences)
    /// What a look at a server found.
    case inspected(DatabaseInspection)
    /// Coffre's roles of a server.
    case audited(DatabaseRoles)
    /// What became of logins that were to be removed.
    case withdrawn(DatabaseWithdrawals)

    private enum Tag {
        static let done: UInt8 = 1
        static let failed: UInt8 = 2
        static let replied: UInt8 = 3
        static let differs: UInt8 = 4
        static let inspected: UInt8 = 5
        static let audited: UInt8 = 6
        static let withdrawn: UInt8 = 7
        static let serverVersion: UInt8 = 1
        static let tlsVersion: UInt8 = 2
        static let sessionsEnded: UInt8 = 3
    }

    /// Longest version text, in bytes.
    public static let maximumVersionBytes = 64
    /// Longest sealed answer that can be kept, in bytes.
    public static let maximumSealedBytes = 65_536

    /// The encoded answer. Versions are cut to 64 printable ASCII characters, the count to 32 bits.
    public func encode() -> [UInt8] {
        switch self {
        case .done(let serverVersion, let tlsVersion, let sessionsEnded):
            var bytes = [Tag.done]
            for (tag, text) in [(Tag.serverVersion, serverVersion), (Tag.tlsVersion, tlsVersion)] {
                guard let text else { continue }
                let clean = Self.cutVersion(text)
                bytes += [tag] + UInt32(clean.count).bigEndianBytes + clean
            }
            let count = UInt32(clamping: sessionsEnded)
            return bytes + [Tag.sessionsEnded] + UInt32(4).bigEndianBytes + count.bigEndianBytes
        case .failed(let failure):
            return [Tag.failed, failure.code.rawValue] + Array((failure.sqlState ?? "").utf8)
        case .replied(let reply): return [Tag.replied] + reply.encode()
        case .differs(let differences): return [Tag.differs] + differences.encode()
        case .inspected(let inspection): return [Tag.inspected] + inspection.encode()
        case .audited(let roles): return [Tag.audited] + roles.encode()
        case .withdrawn(let withdrawals): return [Tag.withdrawn] + withdrawals.encode()
        }
    }

    static func cutVersion(_ text: String) -> [UInt8] {
        Array(text.utf8.filter { (0x20...0x7e).contains($0) }.prefix(maximumVersionBytes))
    }

    static func version(_ reader: inout BrokerFieldReader, _ tag: UInt8) throws(BrokerWireError) -> String? {
        let text = try reader.optionalText(tag, atMost: maximumVersionBytes)
        guard text?.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) != false else {
            throw BrokerWireError(.invalidField, "a version is not printable ASCII")
        }
        return text
    }

    /// Reads an encoded answer, which is untrusted input.
    /// - Throws: ``BrokerWireError`` on anything that ``encode()`` does not write.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        guard let outcome = bytes.first else { throw BrokerWireError(.wrongLength, "the answer is empty") }
        let rest = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        switch outcome {
        case Tag.done:
            var reader = BrokerFieldReader(rest)
            let serverVersion = try Self.version(&reader, Tag.serverVersion)
            let tlsVersion = try Self.version(&reader, Tag.tlsVersion)
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
        case Tag.differs: self = .differs(try GrantDifferences(decoding: rest))
        case Tag.inspected: self = .inspected(try DatabaseInspection(decoding: rest))
        case Tag.audited: self = .audited(try DatabaseRoles(decoding: rest))
        case Tag.withdrawn: self = .withdrawn(try DatabaseWithdrawals(decoding: rest))
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
                guard (Self.boxOverheadBytes...BrokerAnswer.maximumSealedBytes).contains(rest.count) else {
                    throw BrokerWireError(.wrongLength, "a sealed answer has the wrong length")
                }
                self = .sealed(Array(rest))
            default: throw BrokerWireError(.invalidField, "unknown marker of an answer")
            }
        }
    }
}
