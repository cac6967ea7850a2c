/// One point in which a login can do other than its plan says. Names come from the server: untrusted, and they may hold
/// any character but NUL.
public struct GrantDifference: Sendable, Equatable {
    /// The closed list of points.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// The plan names a table that is not there.
        case missingTable = 1
        /// The plan names a column that is not there.
        case missingColumn = 2
        /// The login lacks a right of the plan: the administrator may not grant it.
        case missingRight = 3
        /// The login or its group role has an attribute such as SUPERUSER.
        case attribute = 4
        /// The login or its group role is a member of another role.
        case membership = 5
        /// The login or its group role owns something.
        case ownership = 6
        /// The group role has a right beyond the plan that could not be taken back.
        case groupRight = 7
        /// A right on a table, view or the like, beyond the plan.
        case table = 16
        /// A right on a column, beyond the plan.
        case column = 17
        /// A right on a sequence, beyond the plan.
        case sequence = 18
        /// USAGE of a schema in which the plan has nothing.
        case usage = 19
        /// CREATE in a schema.
        case create = 20
        /// CREATE in a database: new schemas.
        case createSchema = 21
        /// TEMPORARY in this database.
        case temp = 22
        /// CONNECT to another database.
        case connect = 23
        /// A routine that runs with its owner's rights.
        case definer = 24
        /// A routine in an untrusted language: it runs with the rights of the server's process.
        case untrusted = 25
        /// A table or function of the system that is open wider than the installation made it.
        case system = 26
        /// Large objects.
        case largeObject = 27
        /// USAGE of a foreign server.
        case foreignServer = 28
        /// USAGE of a foreign-data wrapper.
        case foreignDataWrapper = 29
        /// CREATE in a tablespace.
        case tablespace = 30
        /// SET of a parameter that others may not set.
        case parameter = 31
        /// A table whose rows show through a table of the plan that it inherits from, while the plan allows it less.
        case inherited = 32
        /// A view of the plan that reads past the row security of a table.
        case rowSecurity = 33
        /// Rights that objects made later will give away.
        case future = 34
        /// Another login of the group role has a right of its own. The last: it is for others to use.
        case loginRight = 35

        /// As it is written in ``GrantPlan/Acceptance``.
        public var name: String {
            switch self {
            case .missingTable: "missing-table"
            case .missingColumn: "missing-column"
            case .missingRight: "missing-right"
            case .attribute: "attribute"
            case .membership: "membership"
            case .ownership: "ownership"
            case .groupRight: "group-right"
            case .loginRight: "login-right"
            case .table: "table"
            case .column: "column"
            case .sequence: "sequence"
            case .usage: "usage"
            case .create: "create"
            case .createSchema: "create-schema"
            case .temp: "temp"
            case .connect: "connect"
            case .definer: "definer"
            case .untrusted: "untrusted"
            case .system: "system"
            case .largeObject: "large-object"
            case .foreignServer: "foreign-server"
            case .foreignDataWrapper: "foreign-data-wrapper"
            case .tablespace: "tablespace"
            case .parameter: "parameter"
            case .inherited: "inherited"
            case .rowSecurity: "row-security"
            case .future: "future"
            }
        }

        /// Whether the owner of a connection may take it as it is. What makes a role another role is never taken.
        public var isAcceptable: Bool { rawValue >= 16 && self != .loginRight }
    }

    /// Longest object and SQL, in bytes.
    public static let maximumBytes = 2048

    /// Which point.
    public let kind: Kind
    /// What it is about, in the server's own quoting: `SELECT ON public.clients`, `public.f(integer)`, `postgres`.
    public let object: String
    /// A statement with which an administrator mends it; nil when there is none, or it would be too long.
    public let mend: String?

    /// A text above 2048 bytes is cut (`object`) or left out (`mend`): no half statement is ever offered. NULs go.
    public init(_ kind: Kind, object: String, mend: String? = nil) {
        self.kind = kind
        self.object = Self.cut(object)
        self.mend = mend.flatMap { mend in
            (1...Self.maximumBytes).contains(mend.utf8.count) && !mend.utf8.contains(0) ? mend : nil
        }
    }

    private static func cut(_ text: String) -> String {
        let clean = text.utf8.contains(0) ? text.replacing("\0", with: "") : text
        guard clean.utf8.count > maximumBytes else { return clean }
        var end = clean.utf8.index(clean.utf8.startIndex, offsetBy: maximumBytes)
        while end.samePosition(in: clean.unicodeScalars) == nil { end = clean.utf8.index(before: end) }
        return String(clean[..<end])
    }
}

/// The answer to a provision that was refused: the login was not made.
public struct GrantDifferences: Sendable, Equatable {
    /// Most differences that are told.
    public static let maximumCount = 64
    /// Longest encoded answer, in bytes.
    public static let maximumBytes = 49_152

    /// Some of them, at most 64, in the order of their kinds' numbers: the most serious come first.
    public let list: [GrantDifference]
    /// How many there are; at least as many as told.
    public let total: UInt32

    /// What is too much for an answer is left out at the end.
    public init(_ list: [GrantDifference], total: Int) {
        var kept: [GrantDifference] = []
        var size = 6
        for item in list.prefix(Self.maximumCount) {
            size += Self.size(item)
            guard size <= Self.maximumBytes else { break }
            kept.append(item)
        }
        self.list = kept
        self.total = UInt32(clamping: max(total, list.count))
    }

    private static func size(_ item: GrantDifference) -> Int {
        1 + 2 + item.object.utf8.count + 1 + (item.mend.map { 2 + $0.utf8.count } ?? 0)
    }

    func encode() -> [UInt8] {
        var writer = BrokerListWriter()
        writer.append(total)
        writer.append(count: list.count)
        for item in list {
            writer.append(item.kind.rawValue)
            writer.append(item.object)
            writer.append(item.mend)
        }
        return writer.bytes
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        guard bytes.count <= Self.maximumBytes else { throw BrokerWireError(.tooLong, "too many differences") }
        var reader = BrokerListReader(bytes)
        let total = try reader.number(UInt32.self)
        let count = try reader.count(atMost: Self.maximumCount)
        guard total >= count else { throw BrokerWireError(.invalidField, "fewer differences than are told") }
        var list: [GrantDifference] = []
        for _ in 0..<count {
            guard let kind = GrantDifference.Kind(rawValue: try reader.number(UInt8.self)) else {
                throw BrokerWireError(.invalidField, "unknown kind of difference")
            }
            let object = try reader.text(0...GrantDifference.maximumBytes)
            let mend = try reader.optionalText(1...GrantDifference.maximumBytes)
            list.append(GrantDifference(kind, object: object, mend: mend))
        }
        try reader.finish()
        self.init(list, total: Int(total))
    }
}
