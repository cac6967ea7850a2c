internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// What services get of a grant: the access token, for as long as it lives. Never the refresh token.
extension Vault {
    func isOAuth(_ connection: Connection) -> Bool {
        unsealed?.grants[connection.id] != nil || (try? OAuthProvider(connection).flows.isEmpty) == false
    }

    /// Whether these rights are enough for the token, which is the same for everybody.
    /// - Throws: ``VaultError`` `.permissionDenied` for a reader whom it would let write.
    func checkTokenRights(_ connection: Connection, _ rights: EffectiveRights) throws {
        guard rights.level < .readWrite, let grant = unsealed?.grants[connection.id] else { return }
        let provider = try OAuthProvider(connection)
        let isLeast = (grant.granted ?? grant.asked).allSatisfy { scope in
            provider.oauth.scopes.contains { $0.utf8.elementsEqual(scope.utf8) }
        }
        guard isLeast, !provider.has("no_read_only_scope"), !provider.has("scopes_on_application") else {
            throw VaultError(
                .permissionDenied,
                "the token of this connection may do more than read: its owner gives read-write to who may have it"
            )
        }
    }

    func handOutToken(
        _ order: ConnectionOrder,
        _ leaseID: String,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        let id = order.connection.id
        guard let state = unsealed, let caller = context.caller else { throw VaultError.sealed }
        try checkLeaseCount(of: caller)
        let failure = try await freshToken(id, state)
        guard unsealed === state, let connection = state.connections[id], connection.state == .active,
            connection.generation == order.connection.generation, let grant = state.grants[id], grant.life.isUsable
        else { throw VaultError.badRequest("the connection was changed at this very moment: ask again") }
        let now = clock.now()
        let left = grant.life.left(at: now)
        guard let token = try barrier.get(OAuthKey.access(id))?.value, left ?? 1 > 0 else {
            throw failure ?? Self.noToken(grant)
        }
        let seconds = min(order.ttl, left ?? order.ttl, configuration.maximumLeaseTTL)
        let expires = now.adding(seconds: seconds)
        var lease = LeaseRecord(
            id: leaseID,
            issued: now,
            expires: expires,
            latest: expires,
            owner: caller.owner,
            connection: connection.leaseConnection,
            username: "",
            revocationStatements: [],
            renewStatements: []
        )
        lease.state = .active
        lease.grant = LeaseRecord.Grant(
            entity: order.entity,
            service: order.service,
            isAdministrator: order.isAdministrator,
            rights: order.rights.json,
            role: ""
        )
        let rows = storing(lease) + [.delete(.unfinishedLease(leaseID), expect: .any)]
        let generation = try await inConnectionTurn { state in
            guard let now = state.connections[id], now.generation == connection.generation,
                isCovered(lease, now, state)
            else { throw VaultError.permissionDenied }
            state.leasedConnections?.insert(id)
            return try await commit(rows)
        }
        state.leases.schedule(.lease(leaseID), at: expires)
        rememberHanded(lease, to: caller, id, grant)
        if !grant.life.isUsed { try await tell(id, .used) }
        var reply = Reply.data(answer(token, grant, connection))
        reply.leaseID = leaseID
        reply.leaseDuration = seconds
        if let doubt = doubt(about: grant, connection) { reply.warnings.append(doubt) }
        if let failure {
            reply.warnings += ["the token could not be refreshed and is the last one: \(failure.message)"]
        }
        var what = what
        what.connector = id
        what.version = Int(grant.life.generation)
        what.details += [("level", .text(order.rights.level.rawValue)), ("flow", .text(grant.flow.rawValue))]
        return Effect(reply, generation: generation, what: what)
    }

    /// Refreshes first when the token is about to end.
    /// - Returns: why that did not work, when the token that there is may still do.
    private func freshToken(_ id: String, _ state: UnsealedState) async throws -> VaultError? {
        guard let grant = state.grants[id] else {
            throw VaultError.badRequest("this connection has no consent yet: connect it with connectors/oauth/start")
        }
        guard grant.life.isUsable, grant.life.state != .needsConsent || grant.life.left(at: clock.now()) ?? 1 > 0 else {
            throw Self.noToken(grant)
        }
        guard let left = grant.life.left(at: clock.now()), left < grant.life.leastLeft else { return nil }
        do {
            try await refreshGrant(id, .wanted(left: grant.life.leastLeft))
            return nil
        } catch {
            return VaultError(mapping: error)
        }
    }

    static func noToken(_ grant: OAuthGrant) -> VaultError {
        let reason = grant.life.reason.map { ": \($0)" } ?? ""
        switch grant.life.state {
        case .needsConsent: return VaultError(.upstream, "this connection needs a new consent" + reason)
        case .revoked: return VaultError.badRequest("the grant of this connection was revoked: connect again")
        default: return VaultError(.upstream, "there is no access token that still lives" + reason)
        }
    }

    func answer(_ token: SharedSecret, _ grant: OAuthGrant, _ connection: Connection) -> ResponseBody {
        var body = ResponseBody()
        body.append(text: #"{"access_token":"#)
        body.append(token.asJSONText)
        // OAuth 1.0a's clients are told apart in each call; no secret is needed to name them.
        let provider = grant.flow == .first ? try? OAuthProvider(connection, grant) : nil
        let rest = TokenAnswerRest(
            connection: connection.name,
            client: provider.flatMap { try? $0.clientID() },
            ends: grant.life.accessEnds,
            scopes: grant.granted ?? grant.asked,
            type: grant.tokenType ?? (grant.flow == .first ? "OAuth" : "Bearer"),
            values: grant.learnt
        )
        if let known = unsealed?.answerRests[connection.id], known.rest == rest {
            body.append(known.text)
        } else {
            let text = rest.text
            unsealed?.answerRests[connection.id] = (rest, text)
            body.append(text)
        }
        return body
    }
}

/// What an answer says besides the access token. Nothing of it is secret, so the text is kept for as long as it is the same.
struct TokenAnswerRest: Equatable {
    let connection: String
    let client: String?
    let ends: Timestamp?
    let scopes: [String]
    let type: String
    let values: [String: String]

    /// The members after the first, up to the closing brace.
    var text: [UInt8] {
        var members: [JSONValue.Member] = [
            .init("connection", .string(connection)), .init("expires_at", ends.map { .string($0.rfc3339) } ?? .null),
            .init("scopes", .strings(scopes)), .init("token_type", .string(type)), .init("values", .object(values)),
        ]
        if let client { members.insert(.init("consumer_key", .string(client)), at: 1) }
        return [0x2c] + Array(JSONValue.object(members).encoded().dropFirst())
    }
}
