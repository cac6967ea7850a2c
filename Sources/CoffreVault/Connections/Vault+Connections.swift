internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// `connectors/…`: connections to the systems of the catalogue.
    func connectorsEndpoint(_ context: RequestContext) throws -> Endpoint? {
        let rest = String(decoding: context.path.dropFirst("connectors/".utf8.count), as: UTF8.self)
        let parts = rest.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        var what = AuditWhat()
        what.path = "connectors/" + rest
        guard let kind = parts.first, parts.count <= 3 else { return nil }
        switch (kind, parts.count) {
        case ("connections", 1):
            guard context.verb == .list else { return .unsupported(what, .list) }
            return .read(.connectionRead, what, .capability(.list)) { vault, context in
                try vault.listConnections(context)
            }
        case ("connections", 2):
            guard Connection.isValidName(parts[1]) else { return nil }
            return connectionEndpoint(context, parts[1], what)
        case ("connections", 3):
            guard Connection.isValidName(parts[1]) else { return nil }
            return connectionActionEndpoint(context, parts[1], parts[2], what)
        case ("catalogue", 1): return catalogueEndpoint(context, nil, what)
        case ("catalogue", 2): return catalogueEndpoint(context, parts[1], what)
        case ("rotations", 1):
            guard context.verb == .get else { return .unsupported(what, .read) }
            return .read(.connectionRead, what, .capability(.read)) { vault, context in
                try vault.rotationsOverview(context)
            }
        case ("oauth", 2): return oauthEndpoint(context, parts[1], what)
        case ("approvals", _): return approvalsEndpoint(context, parts, what)
        case ("creds", 2):
            guard Connection.isValidName(parts[1]) else { return nil }
            guard context.verb == .get else { return .unsupported(what, .read) }
            return connectionCredentialsEndpoint(context, parts[1], what)
        default: return nil
        }
    }

    private func connectionEndpoint(_ context: RequestContext, _ name: String, _ what: AuditWhat) -> Endpoint? {
        let known = unsealed?.connections.find(name)
        let what = Self.naming(known, what)
        switch context.verb {
        case .get:
            return .read(.connectionRead, what, .capability(.read)) { vault, context in
                let (connection, access) = try vault.visibleConnection(name, context)
                return Effect(.data(vault.describe(connection, access)))
            }
        case .write:
            guard known != nil else {
                return .change(.connectorAdd, what, .capability(.create)) { vault, context in
                    try await vault.createConnection(name, what, context)
                }
            }
            return .change(.connectorUpdate, what, .capability(.update)) { vault, context in
                try await vault.updateConnection(name, what, context)
            }
        case .delete:
            return .change(.connectorRemove, what, .capability(.delete)) { vault, context in
                try await vault.removeConnection(name, what, context)
            }
        default: return .unsupported(what)
        }
    }

    private func connectionActionEndpoint(
        _ context: RequestContext,
        _ name: String,
        _ action: String,
        _ what: AuditWhat
    ) -> Endpoint? {
        let what = Self.naming(unsealed?.connections.find(name), what)
        switch (action, context.verb) {
        case ("permissions", .get):
            return .read(.connectionRead, what, .capability(.read)) { vault, context in
                let (connection, access) = try vault.visibleConnection(name, context)
                return Effect(.data(try vault.describeRights(connection, access)))
            }
        case ("permissions", .write):
            return .change(.connectorUpdate, what, .capability(.update)) { vault, context in
                try await vault.changeRights(name, what, context)
            }
        case ("disable", .write), ("enable", .write):
            let isOn = action == "enable"
            return .change(.connectionDisable, what, .capability(.update)) { vault, context in
                try await vault.setState(name, isOn ? .active : .disabled, what, context)
            }
        case ("restore", .write):
            return .change(.connectionRestore, what, .capability(.update)) { vault, context in
                try await vault.restoreConnection(name, what, context)
            }
        case ("test", .write):
            return .inquiry(.connectionTest, what, .capability(.update)) { vault, context in
                try await vault.testConnection(name, what, context)
            }
        case ("rotate", .write):
            return .change(.rotationStart, what, .capability(.update)) { vault, context in
                try await vault.rotateConnection(name, what, context)
            }
        case ("reconcile", .write):
            return .change(.connectorUpdate, what, .capability(.update)) { vault, context in
                try await vault.reconcileConnection(name, what, context)
            }
        case ("consequences", .get):
            return .inquiry(.connectionRead, what, .capability(.read)) { vault, context in
                try await vault.connectionConsequences(name, context)
            }
        case ("stats", .get):
            return .inquiry(.connectionRead, what, .capability(.read)) { vault, context in
                try await vault.connectionStatistics(name, context)
            }
        case ("stats", _), ("consequences", _), ("test", _), ("rotate", _), ("reconcile", _), ("permissions", _),
            ("disable", _),
            ("enable", _), ("restore", _):
            return .unsupported(what)
        default: return nil
        }
    }

    private static func naming(_ connection: Connection?, _ what: AuditWhat) -> AuditWhat {
        var what = what
        what.connector = connection?.id
        return what
    }

    // MARK: reading

    private func listConnections(_ context: RequestContext) throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        guard let caller = context.caller else { throw VaultError.permissionDenied }
        // Once for all of them: who asks is the same for each.
        let isAdministrator = caller.acl.decide(.update, path: context.path).hasSudo
        let groups = Set(state.identity.allGroups(of: caller.entityID).map(\.id))
        let serviceGroups = Set(state.identity.allGroups(of: caller.person?.serviceEntityID ?? "").map(\.id))
        var keys: [String] = []
        var information: [JSONValue.Member] = []
        for connection in state.connections.all where connection.state != .deleted {
            var level = connection.rights.level(entity: caller.entityID, groups: groups)
            if let service = caller.person?.serviceEntityID {
                level = min(level, connection.rights.level(entity: service, groups: serviceGroups))
            }
            guard isAdministrator || level > .none else { continue }
            keys.append(connection.name)
            information.append(
                .init(
                    connection.name,
                    [
                        "id": .string(connection.id), "label": .string(connection.label),
                        "level": .string(level.rawValue), "state": .string(connection.state.rawValue),
                        "type": .string(connection.type), "visibility": .string(connection.visibility.rawValue),
                    ]
                )
            )
        }
        guard !keys.isEmpty else { throw VaultError.notFound }
        return Effect(.data(["key_info": .object(information), "keys": .strings(keys)]))
    }

    /// Everything but the secrets; of those, since when they are stored.
    func describe(_ connection: Connection, _ access: ConnectionAccess) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("accept", .strings(connection.accepted)), .init("approval", .bool(connection.needsApproval)),
            .init("created", .string(connection.created.rfc3339)), .init("fields", .object(connection.fields)),
            .init("generation", .integer(connection.generation)), .init("id", .string(connection.id)),
            .init("label", .string(connection.label)), .init("labels", .object(connection.labels)),
            .init("level", .string(access.rights.level.rawValue)), .init("name", .string(connection.name)),
            .init("owner", .string(connection.rights.owner)),
            .init("rotation_days", .integer(connection.rotationDays)),
            .init("row_limit", .integer(connection.rowLimit)), .init("row_limit_is_advisory", .bool(true)),
            .init(
                "secrets",
                .object(
                    connection.secrets.sorted { $0.key < $1.key }.map {
                        .init($0.key, ["stored": .bool(true), "since": .string($0.value.rfc3339)])
                    }
                )
            ), .init("state", .string(connection.state.rawValue)), .init("type", .string(connection.type)),
            .init("updated", .string(connection.updated.rfc3339)),
            .init("visibility", .string(connection.visibility.rawValue)),
        ]
        if let grant = unsealed?.grants[connection.id] { members.append(.init("oauth", describe(grant))) }
        if let deleted = connection.deleted { members.append(.init("deleted", .string(deleted.rfc3339))) }
        return .object(members)
    }
}
