internal import CoffreCrypto
internal import CoffreWire

/// Turns what the kernel says of a caller into rights, without any token.
struct PeerRole: Sendable {
    /// Whether requests of this role name a person (`X-Coffre-Subject`).
    enum Subject: String, Sendable {
        case forbidden, optional, required
        /// Required for credentials of connections, optional for everything else.
        case standard = "default"
    }

    let name: String
    let uids: Set<UInt32>
    let gids: Set<UInt32>
    /// Units such as `payroll.service`.
    let units: Set<String>
    let policies: [String]
    /// Life of a token from `auth/peer/login`, in seconds.
    let ttl: Int64
    let subject: Subject
    /// Where tokens of people are believed: the path of a `jwt` auth method, without `auth/`, and a role of it, whose
    /// `bound_audiences` name the client that is registered for this service. Without a role none are.
    let subjectMount: String
    let subjectRole: String
    /// Whether the role counts without a login. False for bridges and proxies, whose callers are others.
    let isAmbient: Bool

    /// Every kind of selector that the role names must match.
    ///
    /// A unit read without a pidfd could be that of another process by now: it counts only beside a bound uid.
    func matches(_ principal: Principal) -> Bool {
        if uids.isEmpty, gids.isEmpty, units.isEmpty { return false }
        if !uids.isEmpty, !uids.contains(principal.uid) { return false }
        if !gids.isEmpty, !gids.contains(principal.gid), !principal.groups.contains(where: gids.contains) {
            return false
        }
        guard !units.isEmpty else { return true }
        guard let unit = principal.unit, units.contains(unit) else { return false }
        return principal.isUnitPinned || !uids.isEmpty
    }

    // See systemd.unit(5): ASCII, at most 255 bytes, a suffix.
    private static func isUnitName(_ unit: String) -> Bool {
        unit.utf8.count <= 255 && unit.utf8.contains(0x2e)
            && unit.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x2f }
    }

    // MARK: storage and wire form

    var json: JSONValue {
        .object([
            "bound_uids": .array(uids.sorted().map { .integer($0) }),
            "bound_gids": .array(gids.sorted().map { .integer($0) }), "bound_units": .strings(units.sorted()),
            "policies": .strings(policies), "ttl": .integer(ttl), "subject": .string(subject.rawValue),
            "subject_mount": .string(subjectMount), "subject_role": .string(subjectRole),
            "ambient": .bool(isAmbient),
        ])
    }

    var encoded: SharedSecret { SharedSecret(copying: json.encoded()) }

    /// Reads a role as a client writes it and as it is stored.
    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    init(name: String, _ view: JSONView, maximumTTL: Int64, groupID: (String) -> UInt32?) throws(VaultError) {
        func numbers(_ field: String) throws(VaultError) -> Set<UInt32> {
            guard let value = view[field] else { return [] }
            let list: [Int64?] =
                value.isArray
                ? value.elements.map(\.weakInteger) : (value.stringList ?? [""]).map { Int64($0) }
            var result: Set<UInt32> = []
            for number in list {
                guard let number, let id = UInt32(exactly: number), id != .max else {
                    throw .badRequest("\(field) takes whole numbers")
                }
                result.insert(id)
            }
            return result
        }
        self.name = name
        uids = try numbers("bound_uids")
        var gids = try numbers("bound_gids")
        for group in view["bound_groups"]?.stringList ?? [] {
            guard let id = groupID(group) else { throw .badRequest("bound_groups: there is no group \"\(group)\"") }
            gids.insert(id)
        }
        self.gids = gids
        guard let units = (view["bound_units"] == nil ? [] : view["bound_units"]?.stringList) else {
            throw .badRequest("bound_units takes unit names such as payroll.service")
        }
        for unit in units where !Self.isUnitName(unit) {
            throw .badRequest("bound_units takes unit names such as payroll.service")
        }
        self.units = Set(units)
        guard let policies = (view["policies"] ?? view["token_policies"])?.stringList, !policies.isEmpty else {
            throw .badRequest("policies names at least one policy")
        }
        if policies.contains("root") { throw .badRequest("a peer role cannot have the policy root") }
        self.policies = policies
        var ttl: Int64 = 3600
        if let value = view["ttl"] {
            guard let seconds = GoDuration.seconds(value) else { throw .badRequest("ttl is not a duration") }
            ttl = seconds
        }
        self.ttl = min(ttl == 0 ? maximumTTL : ttl, maximumTTL)
        guard let subject = Subject(rawValue: view["subject"]?.string ?? "default") else {
            throw .badRequest("subject is default, forbidden, optional or required")
        }
        self.subject = subject
        let mount = try MountTable.path(view["subject_mount"]?.string ?? "jwt", isAuth: false)
        subjectMount = String(mount.dropLast())
        subjectRole = (view["subject_role"]?.string ?? "").lowercased()
        guard subjectRole.isEmpty || Vault.isRoleName(subjectRole) else {
            throw .badRequest("subject_role is the name of a role of the auth method at subject_mount")
        }
        isAmbient = view["ambient"]?.weakBool ?? true
        if uids.isEmpty, gids.isEmpty, units.isEmpty {
            throw .badRequest("a peer role needs bound_uids, bound_gids, bound_groups or bound_units")
        }
    }
}
