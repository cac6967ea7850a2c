internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// A consent that somebody began and that has not come back yet. Kept in memory alone: after a restart it begins again.
struct PendingConsent: Sendable {
    let connection: String
    /// Of the connection when the consent began: with other fields it is another client's.
    let connectionGeneration: Int64
    /// Who began it: the token or peer, and the person or service.
    let owner: String
    let entity: String
    let flow: OAuthGrant.Flow
    let redirect: String
    let scopes: [String]
    /// The proof key, the device code, or the temporary token of OAuth 1.0a.
    let secret: SharedSecret?
    /// The secret of that temporary token.
    let proof: SharedSecret?
    let expires: Timestamp

    /// How long it waits, in seconds.
    static let life: Int64 = 600
    static let most = 1000
    static let mostOfOneOwner = 20
}

// The one place that writes grants. A grant changes in turn with its connection; what is asked of the provider for it
// follows one after the other.
extension Vault {
    static func grantItem(_ id: String) -> LeaseSchedule.Item { .grant(id) }

    /// Refreshes, consents and revocations of one grant, one at a time.
    func inGrantTurn<R>(_ id: String, _ body: (UnsealedState) async throws -> R) async throws -> R {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("grant/\(id)".utf8)) { try await body(state) }
    }

    func loadGrants(_ connections: ConnectionTable) throws -> [String: OAuthGrant] {
        var grants: [String: OAuthGrant] = [:]
        for (name, entry) in try barrier.entries(in: .connection, parent: OAuthKey.records, limit: .max) {
            let id = String(decoding: name, as: UTF8.self)
            guard let connection = connections[id], let oauth = Catalogue.shared[connection.type]?.oauth else {
                continue
            }
            grants[id] = try OAuthGrant(
                connection: id,
                decoding: entry.value,
                lives: OAuthGrant.lives(oauth, rotationDays: connection.rotationDays)
            )
        }
        return grants
    }

    /// The rows of a grant as it is now, with its place in the schedule.
    func storing(_ grant: OAuthGrant, replacing old: OAuthGrant?) -> [BarrierMutation] {
        let item = Self.grantItem(grant.connection)
        var mutations: [BarrierMutation] = []
        if let due = old?.life.due { mutations.append(.delete(item.key(at: due), expect: .any)) }
        if let due = grant.life.due {
            mutations.append(.put(item.key(at: due), LeaseSchedule.marker, expect: .any))
        }
        return mutations + [.put(OAuthKey.record(grant.connection), grant.encoded, expect: .any)]
    }

    /// After a grant is durable.
    func stored(_ grant: OAuthGrant, _ state: UnsealedState) {
        state.grants[grant.connection] = grant
        if let due = grant.life.due { state.leases.schedule(Self.grantItem(grant.connection), at: due) }
    }

    /// Tells a grant's life what has happened, and makes it durable.
    /// - Parameter generation: the grant must still be of it; nil for any.
    /// - Returns: what is to be done about it. Alerts have been given.
    @discardableResult
    func tell(_ id: String, _ event: OAuthLifecycle.Event) async throws -> [OAuthLifecycle.Action] {
        let (actions, grant) = try await inConnectionTurn { state -> ([OAuthLifecycle.Action], OAuthGrant?) in
            guard let old = state.grants[id] else { return ([], nil) }
            var grant = old
            var random = SystemRandomNumberGenerator()
            let actions = grant.life.handle(event, at: clock.now(), using: &random)
            guard grant.life != old.life else { return (actions, nil) }
            _ = try await commit(storing(grant, replacing: old))
            stored(grant, state)
            return (actions, grant)
        }
        if let grant { raise(actions, grant) }
        return actions
    }

    /// Alerts go to the journal and the log; a grant that needs a person has a kind of record of its own.
    func raise(_ actions: [OAuthLifecycle.Action], _ grant: OAuthGrant) {
        let name = unsealed?.connections[grant.connection]?.name ?? grant.connection
        for case .alert(let alert) in actions {
            var what = AuditWhat(connector: grant.connection, path: "connectors/connections/\(name)")
            let (operation, message, reason, isError): (AuditOperation, String, String, Bool) =
                switch alert {
                case .degraded(let reason):
                    (.oauthRefresh, "tokens of a connection cannot be refreshed and are tried again", reason, true)
                case .needsConsent(let reason):
                    (.oauthNeedsConsent, "a connection needs a new consent: its owner connects it again", reason, true)
                case .consentDue(let days):
                    (
                        .oauthNeedsConsent, "a connection needs a new consent soon: its owner connects it again",
                        days == 0 ? "overdue" : "within \(days) days", true
                    )
                case .recovered: (.oauthRefresh, "tokens of a connection are refreshed again", "recovered", false)
                }
            what.details = [("reason", .text(reason)), ("state", .text(grant.life.state.rawValue))]
            if case .consentDue(let days) = alert { what.details.append(("days", .int(days))) }
            journal(isError, message, ["connection": name, "reason": reason])
            let record = AuditDraft(
                operation,
                outcome: isError ? .error : .granted,
                error: isError ? grant.life.state.rawValue.replacing("-", with: "_") : nil,
                correlation: Random.base62(16),
                acceptedAt: clock.monotonic(),
                who: AuditWho.system,
                what: what
            )
            audit.append(record) { _ in }
        }
    }

    /// A grant belongs to a client at a host: where either changes, or the connection ends, its tokens go.
    /// - Returns: what is to be written with the change, and the grant afterwards; nil for no change.
    func endingGrant(
        of connection: Connection,
        before: Connection?,
        _ state: UnsealedState
    ) -> (mutations: [BarrierMutation], grant: OAuthGrant?)? {
        guard let before, let old = state.grants[connection.id] else { return nil }
        let tokens: [BarrierMutation] = [
            .delete(OAuthKey.access(connection.id), expect: .any),
            .delete(OAuthKey.refresh(connection.id), expect: .any),
            .delete(OAuthKey.proof(connection.id), expect: .any),
        ]
        if connection.state == .deleted {
            var mutations = tokens + [.delete(OAuthKey.record(connection.id), expect: .any)]
            if let due = old.life.due {
                mutations.append(.delete(Self.grantItem(connection.id).key(at: due), expect: .any))
            }
            return (mutations, nil)
        }
        let names = Set(connection.fields.keys).union(before.fields.keys)
        let moves = names.contains { !connection.isHarmless($0) && !connection.hasSame($0, as: before) }
        var grant = old
        grant.life.lives.rotationDays = connection.rotationDays
        let key = Catalogue.shared[connection.type]?.oauth?.assertion?.key
        let isRekeyed = old.flow == .service && key.map { connection.secrets[$0] != before.secrets[$0] } ?? false
        var random = SystemRandomNumberGenerator()
        if moves {
            let reason = "the connection's fields have changed: connect again"
            _ = grant.life.handle(.voided(reason), at: clock.now(), using: &random)
            (grant.learnt, grant.choices) = ([:], [:])
        } else if isRekeyed {
            _ = grant.life.handle(.rekeyed, at: clock.now(), using: &random)
        } else {
            grant.choose(for: connection)
            guard grant.life != old.life || grant.learnt != old.learnt else { return nil }
        }
        return ((moves || isRekeyed ? tokens : []) + storing(grant, replacing: old), grant)
    }

    /// A stored secret of a connection; nil when there is none, or it was voided.
    func secret(_ name: String?, of connection: Connection) throws -> SharedSecret? {
        guard let name, connection.secrets[name] != nil else { return nil }
        return try barrier.get(ConnectionKey.secret(connection.id, name))?.value
    }

    /// What a job of this client lends besides the grant.
    func clientSecrets(_ job: BrokerOAuth, _ connection: Connection, _ provider: OAuthProvider) throws
        -> [BrokerOAuth.Secret: SharedSecret]
    {
        var secrets: [BrokerOAuth.Secret: SharedSecret] = [:]
        if [.basic, .post].contains(job.authentication) || job.kind.isFirst || job.tokenPlace == .signed {
            secrets[.clientSecret] = try secret(OAuthProvider.secretName(provider.connector), of: connection)
        }
        if job.assertion != nil {
            let name = job.kind == .jwtBearer ? provider.oauth.assertion?.key : provider.oauth.clientKey
            secrets[.privateKey] = try secret(name, of: connection)
        }
        if job.tokenPlace == .signed {
            secrets[.tokenSecret] = try barrier.get(OAuthKey.proof(connection.id))?.value
        }
        if job.clientCertificate != nil {
            secrets[.certificateKey] = try secret("client_private_key", of: connection)
        }
        return secrets
    }
}
