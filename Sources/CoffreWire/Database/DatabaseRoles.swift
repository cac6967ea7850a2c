/// Logins and group roles of one server that begin with `coffre_`: what the reconciler holds against the leases.
/// Untrusted: whoever may create roles there can give one such a name.
public struct DatabaseRoles: Sendable, Equatable {
    /// Most roles in one answer.
    public static let maximumCount = 1000
    /// Most memberships that are told of one role.
    public static let maximumMemberships = 8

    /// One role.
    public struct Role: Sendable, Equatable {
        /// Its name, 1–63 bytes.
        public let name: String
        /// Whether it can log in.
        public let isLogin: Bool
        /// Seconds since 1970; nil when it has no end.
        public let validUntil: Int64?
        /// Roles that it is a member of, at most 8.
        public let memberOf: [String]
        /// How many roles are members of it.
        public let members: UInt32
        /// Open sessions.
        public let sessions: UInt32

        /// What is above a limit is cut.
        public init(
            name: String,
            isLogin: Bool,
            validUntil: Int64?,
            memberOf: [String],
            members: UInt32,
            sessions: UInt32
        ) {
            self.name = name
            self.isLogin = isLogin
            self.validUntil = validUntil
            self.memberOf = Array(memberOf.filter(DatabaseRoles.isName).prefix(DatabaseRoles.maximumMemberships))
            self.members = members
            self.sessions = sessions
        }
    }

    /// In the order of their names' bytes.
    public let roles: [Role]
    /// There are more: ask again, after the last one.
    public let isTruncated: Bool

    /// What is above 1000, or has no name, is left out.
    public init(_ roles: [Role], isTruncated: Bool) {
        self.roles = Array(roles.filter { Self.isName($0.name) }.prefix(Self.maximumCount))
        self.isTruncated = isTruncated || roles.count > Self.maximumCount
    }

    fileprivate static func isName(_ text: String) -> Bool {
        (1...BrokerJob.Limit.identifier).contains(text.utf8.count) && !text.utf8.contains(0)
    }

    func encode() -> [UInt8] {
        var writer = BrokerListWriter()
        writer.append(isTruncated)
        writer.append(count: roles.count)
        for role in roles {
            writer.append(role.name)
            writer.append(role.isLogin)
            writer.append(role.validUntil.map { UInt64(bitPattern: $0) })
            writer.append(count: role.memberOf.count)
            for name in role.memberOf { writer.append(name) }
            writer.append(role.members)
            writer.append(role.sessions)
        }
        return writer.bytes
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        let names = 1...BrokerJob.Limit.identifier
        var reader = BrokerListReader(bytes)
        let isTruncated = try reader.flag()
        var roles: [Role] = []
        for _ in 0..<(try reader.count(atMost: Self.maximumCount)) {
            let name = try reader.text(names)
            let isLogin = try reader.flag()
            let validUntil = try reader.optionalNumber(UInt64.self).map { Int64(bitPattern: $0) }
            var memberOf: [String] = []
            for _ in 0..<(try reader.count(atMost: Self.maximumMemberships)) { memberOf.append(try reader.text(names)) }
            roles.append(
                Role(
                    name: name,
                    isLogin: isLogin,
                    validUntil: validUntil,
                    memberOf: memberOf,
                    members: try reader.number(),
                    sessions: try reader.number()
                )
            )
        }
        try reader.finish()
        self.init(roles, isTruncated: isTruncated)
    }
}
