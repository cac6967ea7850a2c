/// What a look at a server found. Everything in it is of the server's making: untrusted, bounded, and names may hold any
/// character but NUL.
public struct DatabaseInspection: Sendable, Equatable {
    /// Limits of the lists.
    public enum Limit {
        /// Number of schemas.
        public static let schemas = 200
        /// Number of tables and columns together on a page.
        public static let names = 10_000
    }

    /// A schema that is not the system's.
    public struct Schema: Sendable, Equatable {
        /// Its name.
        public let name: String
        /// Number of tables, views and the like in it.
        public let tables: UInt32

        /// A schema; `name` is 1–63 bytes.
        public init(name: String, tables: UInt32) {
            self.name = name
            self.tables = tables
        }
    }

    /// How many rows a table has, and how that is known.
    public enum RowCount: Sendable, Equatable {
        /// Counted just now.
        case exact(UInt64)
        /// The planner's estimate: the table is too large, or foreign, or counting took too long.
        case estimate(UInt64)
        /// The login may not read it.
        case denied
        /// It is not there.
        case missing
        /// A view, or a table that the server has no estimate of: not counted, as that would run the view.
        case unknown
    }

    /// What a relation is.
    public enum TableKind: UInt8, Sendable, CaseIterable {
        /// A table, or a partition.
        case table = 1
        /// A partitioned table.
        case partitioned = 2
        /// A view.
        case view = 3
        /// A materialised view.
        case materializedView = 4
        /// A foreign table.
        case foreign = 5
    }

    /// One table of a page.
    public struct Table: Sendable, Equatable {
        /// Its name.
        public let name: String
        /// What it is.
        public let kind: TableKind
        /// Its columns in the table's own order.
        public let columns: [String]

        /// A table; names are 1–63 bytes, at most 1600 columns.
        public init(name: String, kind: TableKind, columns: [String]) {
            self.name = name
            self.kind = kind
            self.columns = columns
        }
    }

    /// Tables of one schema in the order of their names' bytes.
    public struct Page: Sendable, Equatable {
        /// Whole tables, 10,000 names of tables and columns together at most.
        public var tables: [Table]
        /// There are more: ask again, after the last one.
        public var isTruncated: Bool

        /// A page.
        public init(tables: [Table], isTruncated: Bool) {
            self.tables = tables
            self.isTruncated = isTruncated
        }
    }

    /// Printable ASCII, at most 64 bytes.
    public var serverVersion: String?
    /// TLS as the broker's own end sees it, such as `TLSv1.3`; nil without.
    public var tlsVersion: String?
    /// TLS as the server's end sees it (pg_stat_ssl); another value than ``tlsVersion`` means somebody is in between.
    public var serverTLSVersion: String?
    /// From the first byte to the end of the login, in microseconds.
    public var connectMicroseconds: UInt32 = 0
    /// One `SELECT 1`, in microseconds.
    public var roundTripMicroseconds: UInt32 = 0
    /// The end of the administrator's own login (VALID UNTIL), in seconds since 1970; nil without one. A server does not
    /// tell an expired login from a wrong password: whoever wants to warn must do it before.
    public var validUntil: Int64?
    /// Whether the administrator's login is a superuser, which is more than is needed.
    public var isSuperuser = false
    /// Whether it may make logins.
    public var mayCreateRoles = false
    /// At most 200, in the order of their names' bytes.
    public var schemas: [Schema] = []
    /// There are more schemas than are told.
    public var schemasAreTruncated = false
    /// Number of tables, views and the like that are not the system's.
    public var tables: UInt32 = 0
    /// One for each table that was asked about, in that order.
    public var counts: [RowCount] = []
    /// The tables of the schema that was asked about; nil without one.
    public var page: Page?

    /// An empty one, to be filled in.
    public init() {}
}
