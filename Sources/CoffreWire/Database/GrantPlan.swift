/// What the logins of one group role may do in a database: the table/column matrix of one person or team, resolved.
///
/// The group role holds the rights, ephemeral logins are only members of it. What the plan does not name is not allowed:
/// a masked column is one that is left out of the list of readable ones. A value is always in order (tables by schema and
/// name, columns by name, compared as bytes), so that ``encode()`` gives one text for one plan, and its digest can name it.
///
/// What a plan cannot narrow: a view shows what its owner may read, and a trigger or a rule of a table does what its author
/// wrote. Rows are the database's own matter (row security). Every login can read the names in the system's catalogue, and
/// can make large objects.
///
/// coffred makes a job of it so; the answer is ``BrokerAnswer/done(serverVersion:tlsVersion:sessionsEnded:)``, or
/// ``BrokerAnswer/differs(_:)`` with what has to be mended, and then there is no login:
/// ```swift
/// let plan = try GrantPlan(
///     group: "coffre_g_7f3a_v12",
///     tables: [
///         GrantPlan.Table(schema: "public", name: "clients", read: .all),
///         GrantPlan.Table(schema: "public", name: "salaires", read: .only(["nom", "service"])),
///     ],
///     isReadOnly: true,
///     accepted: [GrantPlan.Acceptance("temp"), GrantPlan.Acceptance("connect:postgres")]
/// )
/// let job = BrokerJob(
///     kind: .provision,
///     host: target.host, database: target.database, user: administrator,
///     login: "coffre_support_k3v9…",
///     validUntil: lease.expires.seconds,
///     task: .provision(try GrantProvision(plan: plan, verifier: ScramVerifier.make(password: password))),
///     publicKey: keys.publicKey
/// )
/// let answer = try await runJob(job, adminPassword: administratorPassword, loginPassword: password)
/// ```
public struct GrantPlan: Sendable, Equatable {
    /// Limits, in bytes where nothing else is said.
    public enum Limit {
        /// Number of tables.
        public static let tables = 2000
        /// Number of columns in one list (PostgreSQL, "Limits").
        public static let columns = 1600
        /// Number of accepted differences.
        public static let accepted = 200
        /// The object of an accepted difference.
        public static let acceptedObject = 1024
        /// The whole encoded plan; the rest of a frame is for certificates and passwords.
        public static let encoded = 786_432
    }

    /// Columns that one verb reaches.
    public enum Columns: Sendable, Equatable {
        /// The verb is not allowed.
        case none
        /// All, also those that the table gets later.
        case all
        /// These, 1–1600, sorted by their bytes.
        case only([String])
    }

    /// One table, view, materialised view, foreign table or partition, and what is allowed on it.
    public struct Table: Sendable, Equatable {
        /// Its schema, as the catalogue has it: not quoted, not folded.
        public let schema: String
        /// Its name, as the catalogue has it.
        public let name: String
        /// SELECT.
        public let read: Columns
        /// INSERT; USAGE of the sequences that its defaults take numbers from comes along.
        public let insert: Columns
        /// UPDATE.
        public let update: Columns
        /// DELETE.
        public let delete: Bool

        /// Columns are put in order.
        /// - Throws: ``BrokerWireError`` `.tooLong` for a name that is empty or above 63 bytes, or a list that is empty
        ///   or above 1600; `.invalidField` for a schema of the system, a column named twice, or nothing allowed.
        public init(
            schema: String,
            name: String,
            read: Columns = .none,
            insert: Columns = .none,
            update: Columns = .none,
            delete: Bool = false
        ) throws(BrokerWireError) {
            try BrokerText.check(schema, 1...BrokerJob.Limit.identifier)
            try BrokerText.check(name, 1...BrokerJob.Limit.identifier)
            guard !schema.utf8.starts(with: "pg_".utf8), !schema.utf8.elementsEqual("information_schema".utf8) else {
                throw BrokerWireError(.invalidField, "a plan names no schema of the system")
            }
            self.schema = schema
            self.name = name
            self.read = try read.inOrder()
            self.insert = try insert.inOrder()
            self.update = try update.inOrder()
            self.delete = delete
            guard self.read != .none || self.insert != .none || self.update != .none || delete else {
                throw BrokerWireError(.invalidField, "a plan names no table on which nothing is allowed")
            }
        }

        var writes: Bool { insert != .none || update != .none || delete }
    }

    /// A difference that the owner of the connection takes as it is.
    public struct Acceptance: Sendable, Equatable, CustomStringConvertible {
        /// Which kind.
        public let kind: GrantDifference.Kind
        /// Exactly as ``GrantDifference/object`` tells it; nil for every object of that kind.
        public let object: String?

        /// - Throws: ``BrokerWireError`` `.invalidField` for a kind that nobody may accept, `.tooLong` for an object
        ///   that is empty or above 1024 bytes.
        public init(_ kind: GrantDifference.Kind, object: String? = nil) throws(BrokerWireError) {
            guard kind.isAcceptable else {
                throw BrokerWireError(.invalidField, "a difference of this kind cannot be accepted")
            }
            if let object { try BrokerText.check(object, 1...Limit.acceptedObject) }
            self.kind = kind
            self.object = object
        }

        /// Reads `temp`, `connect:postgres`, `definer:public.f(integer)`: a kind's name, and an object behind a colon.
        /// - Throws: ``BrokerWireError``.
        public init(_ text: String) throws(BrokerWireError) {
            let colon = text.utf8.firstIndex(of: 0x3a)
            let name = text[..<(colon ?? text.endIndex)]
            guard let kind = GrantDifference.Kind.allCases.first(where: { $0.name == name }) else {
                throw BrokerWireError(.invalidField, "unknown kind of difference")
            }
            try self.init(kind, object: colon.map { String(text[text.utf8.index(after: $0)...]) })
        }

        /// As ``init(_:)`` reads it.
        public var description: String { kind.name + (object.map { ":" + $0 } ?? "") }

        static func isAscending(_ left: Acceptance, _ right: Acceptance) -> Bool {
            guard left.kind == right.kind else { return left.kind.rawValue < right.kind.rawValue }
            guard let other = right.object else { return false }
            return left.object.map { ByteOrder.isAscending($0, other) } ?? true
        }
    }

    /// The role that holds the rights: `coffre_g_` and 1–54 of `[a-z0-9_]`.
    public let group: String
    /// At most 2000, none twice.
    public let tables: [Table]
    /// Logins begin read-only transactions, and no table may be written to.
    public let isReadOnly: Bool
    /// At most 200, none twice.
    public let accepted: [Acceptance]

    /// What every group role's name begins with.
    public static let groupPrefix = "coffre_g_"
    /// What every login's name begins with; the next letters are not `g_`.
    public static let loginPrefix = "coffre_"

    /// Tables and acceptances are put in order.
    /// - Throws: ``BrokerWireError`` `.invalidField`, `.tooLong`; limits are those of ``Limit``.
    public init(
        group: String,
        tables: [Table],
        isReadOnly: Bool,
        accepted: [Acceptance] = []
    ) throws(BrokerWireError) {
        try Self.check(group: group)
        guard tables.count <= Limit.tables else { throw BrokerWireError(.tooLong, "a plan has at most 2000 tables") }
        guard accepted.count <= Limit.accepted else {
            throw BrokerWireError(.tooLong, "a plan accepts at most 200 differences")
        }
        self.group = group
        self.tables = tables.sorted { ByteOrder.isAscending(($0.schema, $0.name), ($1.schema, $1.name)) }
        self.isReadOnly = isReadOnly
        self.accepted = accepted.sorted(by: Acceptance.isAscending)
        let areAlone =
            ByteOrder.areAscending(self.tables) { ByteOrder.isAscending(($0.schema, $0.name), ($1.schema, $1.name)) }
            && ByteOrder.areAscending(self.accepted, Acceptance.isAscending)
        guard areAlone else { throw BrokerWireError(.invalidField, "a plan names something twice") }
        guard !isReadOnly || !tables.contains(where: \.writes) else {
            throw BrokerWireError(.invalidField, "a plan that is read only allows a change")
        }
        guard encode().count <= Limit.encoded else {
            throw BrokerWireError(.tooLong, "the plan is above 768 KiB: allow whole tables, or fewer of them")
        }
    }

    /// Whether `name` can be a group role's.
    /// - Throws: ``BrokerWireError`` `.invalidField`.
    public static func check(group name: String) throws(BrokerWireError) {
        guard name.utf8.starts(with: groupPrefix.utf8), name.utf8.count > groupPrefix.utf8.count, isPlain(name) else {
            throw BrokerWireError(.invalidField, "a group role is coffre_g_ and 1 to 54 of a-z, 0-9 and _")
        }
    }

    /// Whether `name` can be a login's that is a member of a group role.
    /// - Throws: ``BrokerWireError`` `.invalidField`.
    public static func check(login name: String) throws(BrokerWireError) {
        guard name.utf8.starts(with: loginPrefix.utf8), name.utf8.count > loginPrefix.utf8.count, isPlain(name),
            !name.utf8.starts(with: groupPrefix.utf8)
        else {
            throw BrokerWireError(.invalidField, "a login is coffre_ and 1 to 56 of a-z, 0-9 and _, not beginning g_")
        }
    }

    private static func isPlain(_ name: String) -> Bool {
        name.utf8.count <= BrokerJob.Limit.identifier
            && name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 0x5f }
    }
}

extension GrantPlan.Columns {
    fileprivate func inOrder() throws(BrokerWireError) -> Self {
        guard case .only(let names) = self else { return self }
        guard (1...GrantPlan.Limit.columns).contains(names.count) else {
            throw BrokerWireError(.tooLong, "a list of columns has 1 to 1600 of them")
        }
        for name in names { try BrokerText.check(name, 1...BrokerJob.Limit.identifier) }
        let sorted = names.sorted(by: ByteOrder.isAscending)
        guard ByteOrder.areAscending(sorted, ByteOrder.isAscending) else {
            throw BrokerWireError(.invalidField, "a plan names a column twice")
        }
        return .only(sorted)
    }
}
