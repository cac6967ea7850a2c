/// What the vault knows anyway of identities, secrets and rights. Everything is optional: without it, what the log shows is
/// taken instead.
package struct InsightContext: Sendable {
    package struct Identity: Sendable {
        package var id: String
        package var kind: InsightEvent.ActorKind
        package var teams: [String]
        /// Nanoseconds since 1970; nil when not known.
        package var created: Int64?
        package var lastSeen: Int64?

        package init(
            id: String,
            kind: InsightEvent.ActorKind,
            teams: [String],
            created: Int64?,
            lastSeen: Int64?
        ) {
            self.id = id
            self.kind = kind
            self.teams = teams
            self.created = created
            self.lastSeen = lastSeen
        }
    }

    package struct Secret: Sendable, Hashable {
        package var connector: String
        package var path: String

        package init(connector: String, path: String) {
            self.connector = connector
            self.path = path
        }
    }

    package var identities: [Identity] = []
    package var sensitive: [Secret] = []
    /// What each team may use.
    package var teams: [String: [Secret]] = [:]
    /// Seconds east of Greenwich.
    package var utcOffset: Int64 = 3600
    /// Days without work, 0 for Monday.
    package var weekend: Set<Int> = [4, 5]

    package init() {}
}
