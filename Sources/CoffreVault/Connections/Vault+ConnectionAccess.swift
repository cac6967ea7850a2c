internal import CoffreWire

/// What a caller may do with one connection: the second decision, after the policy.
struct ConnectionAccess: Sendable {
    let rights: EffectiveRights
    /// Has sudo on the path: sees and manages every connection.
    let isAdministrator: Bool
    /// Id of the person or service; empty for nobody in particular.
    let entity: String
    /// Id of the service that asks for the person, empty when it has none; nil when nobody stands between.
    let service: String?

    var mayManage: Bool { isAdministrator || rights.level == .owner }
    var maySee: Bool { isAdministrator || rights.level > .none }
}

extension Vault {
    /// The policy has said yes already; here the connection's own rights are asked.
    /// - Throws: ``VaultError`` `.sealed`, `.permissionDenied`.
    /// - Parameter path: of which sudo makes an administrator; nil for that of the request.
    func access(
        to connection: Connection,
        _ context: RequestContext,
        on path: [UInt8]? = nil
    ) throws -> ConnectionAccess {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.sealed }
        let isAdministrator = caller.acl.decide(.update, path: path ?? context.path).hasSudo
        let service = caller.person?.serviceEntityID
        let rights = effectiveRights(of: caller.entityID, through: service, connection, state)
        return ConnectionAccess(
            rights: rights,
            isAdministrator: isAdministrator,
            entity: caller.entityID,
            service: service
        )
    }

    /// Visibility adds what it says: everybody who finds a connection may read by it.
    /// - Parameter service: the service that asks for the person: what both may is what there is.
    func effectiveRights(
        of entity: String,
        through service: String? = nil,
        _ connection: Connection,
        _ state: UnsealedState
    ) -> EffectiveRights {
        guard connection.state != .deleted else { return .nothing }
        let groups = Set(state.identity.allGroups(of: entity).map(\.id))
        let rights = connection.rights.effective(entity: entity, groups: groups)
        guard let service else { return rights }
        return rights.shared(with: effectiveRights(of: service, connection, state))
    }

    /// The connection behind a name or id that the caller may know of. To everybody else it is not there, and what is not
    /// there is forbidden.
    func visibleConnection(
        _ reference: String,
        _ context: RequestContext,
        on path: [UInt8]? = nil
    ) throws -> (Connection, ConnectionAccess) {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.sealed }
        guard let connection = state.connections.find(reference) else {
            let hasSudo = caller.acl.decide(.update, path: path ?? context.path).hasSudo
            throw hasSudo ? VaultError.notFound : VaultError.permissionDenied
        }
        let access = try access(to: connection, context, on: path)
        guard access.maySee else { throw VaultError.permissionDenied }
        return (connection, access)
    }

    /// As ``visibleConnection(_:_:)``, for who may change it.
    func managedConnection(_ reference: String, _ context: RequestContext) throws -> (Connection, ConnectionAccess) {
        let (connection, access) = try visibleConnection(reference, context)
        guard access.mayManage else {
            throw VaultError(.permissionDenied, "only the owner of this connection, or an administrator, may do that")
        }
        return (connection, access)
    }
}
