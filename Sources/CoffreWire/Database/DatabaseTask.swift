/// What a job of the kinds from `provision` on is to do beyond connecting.
public enum DatabaseTask: Sendable, Equatable {
    /// Bring a group role to a plan, make a login that is a member of it, and ask what the login can really do.
    case provision(GrantProvision)
    /// Drop a group role that has no members. One that is not there is a success.
    case retire(group: String)
    /// Look at a server, for the test of a connection and for its matrix.
    case inspect(DatabaseQuestion)
    /// List logins and group roles that begin with `coffre_`, those after a name when one is given.
    case audit(after: String?)
    /// Remove logins of Coffre's making, 1 to 100, and tell what they did.
    case withdraw([String])
    /// Ask whether a login that is there can do what its plan says and nothing else.
    case check(GrantCheck)

    /// The kind of job that carries it.
    public var kind: BrokerJob.Kind {
        switch self {
        case .provision: .provision
        case .retire: .retire
        case .inspect: .inspect
        case .audit: .audit
        case .withdraw: .withdraw
        case .check: .check
        }
    }

    func encode() -> [UInt8] {
        switch self {
        case .provision(let provision): return provision.encode()
        case .retire(let group): return Array(group.utf8)
        case .inspect(let question): return question.encode()
        case .audit(let after):
            var writer = BrokerListWriter()
            writer.append(after)
            return writer.bytes
        case .withdraw(let logins):
            var writer = BrokerListWriter()
            writer.append(count: logins.count)
            for login in logins { writer.append(login) }
            return writer.bytes
        case .check(let check): return check.encode()
        }
    }

    init(decoding bytes: UnsafeRawBufferPointer, kind: BrokerJob.Kind) throws(BrokerWireError) {
        switch kind {
        case .provision: self = .provision(try GrantProvision(decoding: bytes))
        case .retire: self = .retire(group: try BrokerText.decode(bytes))
        case .inspect: self = .inspect(try DatabaseQuestion(decoding: bytes))
        case .audit:
            var reader = BrokerListReader(bytes)
            self = .audit(after: try reader.optionalText(1...BrokerJob.Limit.identifier))
            try reader.finish()
        case .withdraw:
            var reader = BrokerListReader(bytes)
            var logins: [String] = []
            for _ in 0..<(try reader.count(atMost: DatabaseWithdrawals.maximumLogins)) {
                logins.append(try reader.text(1...BrokerJob.Limit.identifier))
            }
            self = .withdraw(logins)
            try reader.finish()
        case .check: self = .check(try GrantCheck(decoding: bytes))
        default: throw BrokerWireError(.invalidField, "a job of this kind has no task")
        }
    }

    func validate() throws(BrokerWireError) {
        switch self {
        case .provision, .check, .inspect, .audit(after: nil): break
        case .retire(let group): try GrantPlan.check(group: group)
        case .audit(.some(let name)): try BrokerText.check(name, 1...BrokerJob.Limit.identifier)
        case .withdraw(let logins):
            guard (1...DatabaseWithdrawals.maximumLogins).contains(logins.count) else {
                throw BrokerWireError(.tooLong, "1 to 100 logins are removed at a time")
            }
            for login in logins { try GrantPlan.check(login: login) }
        }
    }
}

/// A plan, and what a new login needs besides its name, its password and the end of its life.
public struct GrantProvision: Sendable, Equatable {
    /// What it may do.
    public let plan: GrantPlan
    /// The password as `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (PostgreSQL, "pg_authid").
    public let verifier: String
    /// Sessions at the same time, 1–1000.
    public let connectionLimit: UInt16

    /// Limits of the fields.
    public enum Limit {
        /// Sessions of one login.
        public static let connections: ClosedRange<UInt16> = 1...1000
        /// The verifier, in bytes.
        public static let verifier = 256
    }

    private enum Tag {
        static let plan: UInt8 = 1
        static let verifier: UInt8 = 2
        static let connectionLimit: UInt8 = 3
    }

    /// - Parameter connectionLimit: 10 unless said otherwise.
    /// - Throws: ``BrokerWireError`` `.invalidField` for a verifier of another form, which the server would take for a
    ///   password, or a limit out of range.
    public init(plan: GrantPlan, verifier: String, connectionLimit: UInt16 = 10) throws(BrokerWireError) {
        guard Self.isVerifier(verifier) else {
            throw BrokerWireError(.invalidField, "the verifier is not in the form SCRAM-SHA-256$…")
        }
        guard Limit.connections.contains(connectionLimit) else {
            throw BrokerWireError(.invalidField, "a login has 1 to 1000 sessions at the same time")
        }
        self.plan = plan
        self.verifier = verifier
        self.connectionLimit = connectionLimit
    }

    private static func isVerifier(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: 0x24, omittingEmptySubsequences: false)
        guard text.utf8.count <= Limit.verifier, parts.count == 3, parts[0].elementsEqual("SCRAM-SHA-256".utf8) else {
            return false
        }
        let first = parts[1].split(separator: 0x3a, omittingEmptySubsequences: false)
        let keys = parts[2].split(separator: 0x3a, omittingEmptySubsequences: false)
        guard first.count == 2, keys.count == 2 else { return false }
        return (1...7).contains(first[0].count) && first[0].allSatisfy { (48...57).contains($0) }
            && isBase64(first[1]) && keys.allSatisfy { $0.count == 44 && isBase64($0) }
    }

    private static func isBase64(_ text: Substring.UTF8View) -> Bool {
        let digits = text.prefix { byte in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 0x2b
                || byte == 0x2f
        }
        return !digits.isEmpty && text.count % 4 == 0 && text.count - digits.count <= 2
            && text.dropFirst(digits.count).allSatisfy { $0 == 0x3d }
    }

    func encode() -> [UInt8] {
        let fields: [(UInt8, [UInt8])] = [
            (Tag.plan, plan.encode()), (Tag.verifier, Array(verifier.utf8)),
            (Tag.connectionLimit, connectionLimit.bigEndianBytes),
        ]
        return fields.flatMap { [$0.0] + UInt32($0.1.count).bigEndianBytes + $0.1 }
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerFieldReader(bytes)
        let plan = try GrantPlan(decoding: try reader.required(Tag.plan, atMost: GrantPlan.Limit.encoded))
        let verifier = try reader.text(Tag.verifier, atMost: Limit.verifier)
        let limit = UInt16(try reader.number(Tag.connectionLimit, bytes: 2))
        try reader.finish()
        try self.init(plan: plan, verifier: verifier, connectionLimit: limit)
    }
}

/// What to look at besides the server itself.
public struct DatabaseQuestion: Sendable, Equatable {
    /// A table by its name in the catalogue.
    public struct Table: Sendable, Equatable {
        /// Its schema.
        public let schema: String
        /// Its name.
        public let name: String

        /// - Throws: ``BrokerWireError`` `.tooLong` for a name that is empty or above 63 bytes.
        public init(schema: String, name: String) throws(BrokerWireError) {
            try BrokerText.check(schema, 1...BrokerJob.Limit.identifier)
            try BrokerText.check(name, 1...BrokerJob.Limit.identifier)
            self.schema = schema
            self.name = name
        }
    }

    /// Most tables whose rows are counted.
    public static let maximumCounts = 50

    /// Tables whose rows are to be counted, in the order of the answer.
    public let counts: [Table]
    /// The schema whose tables and columns are to be listed.
    public let schema: String?
    /// List those after this table; nil from the first.
    public let after: String?

    /// - Throws: ``BrokerWireError`` `.tooLong`, `.invalidField` for a table to begin after without a schema.
    public init(counts: [Table] = [], schema: String? = nil, after: String? = nil) throws(BrokerWireError) {
        guard counts.count <= Self.maximumCounts else {
            throw BrokerWireError(.tooLong, "the rows of at most 50 tables are counted")
        }
        for name in [schema, after] {
            guard let name else { continue }
            try BrokerText.check(name, 1...BrokerJob.Limit.identifier)
        }
        guard after == nil || schema != nil else {
            throw BrokerWireError(.invalidField, "a page begins after a table of a schema")
        }
        self.counts = counts
        self.schema = schema
        self.after = after
    }

    func encode() -> [UInt8] {
        var writer = BrokerListWriter()
        writer.append(count: counts.count)
        for table in counts {
            writer.append(table.schema)
            writer.append(table.name)
        }
        writer.append(schema)
        writer.append(after)
        return writer.bytes
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        let names = 1...BrokerJob.Limit.identifier
        var reader = BrokerListReader(bytes)
        var counts: [Table] = []
        for _ in 0..<(try reader.count(atMost: Self.maximumCounts)) {
            counts.append(try Table(schema: try reader.text(names), name: try reader.text(names)))
        }
        let schema = try reader.optionalText(names)
        let after = try reader.optionalText(names)
        try reader.finish()
        try self.init(counts: counts, schema: schema, after: after)
    }
}
