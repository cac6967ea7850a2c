internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// The stored token with this keyed hash, or nil.
    func tokenEntry(_ hash: Digest, _ state: UnsealedState) throws -> TokenEntry? {
        state.endingTokens.contains(hash) ? nil : try storedToken(hash, state)
    }

    /// Also a token whose revocation is under way.
    private func storedToken(_ hash: Digest, _ state: UnsealedState) throws -> TokenEntry? {
        if let entry = state.tokens[hash] { return entry }
        guard let row = try barrier.get(.token(hash)) else { return nil }
        let entry = try TokenEntry(hash: hash, decoding: row.value)
        state.tokens[hash] = entry
        return entry
    }

    func tokenEndpoint(_ context: RequestContext, _ state: UnsealedState) throws -> Endpoint? {
        let action = String(decoding: context.path.dropFirst("auth/token/".utf8.count), as: UTF8.self)
        var what = AuditWhat()
        what.path = "auth/token/" + action
        let isWrite = context.verb == .write
        switch (action, context.verb) {
        case ("lookup-self", .get), ("lookup-self", .write):
            return .read(.tokenLookup, what, .capability(isWrite ? .update : .read)) { vault, context in
                guard let entry = context.caller?.token else { throw VaultError.permissionDenied }
                return Effect(.data(vault.lookup(entry, context)))
            }
        case ("create", .write), ("create-orphan", .write):
            let isOrphan = action == "create-orphan"
            return .change(.tokenIssue, what, isOrphan ? .sudo(.update) : .capability(.update)) { vault, context in
                try await vault.createToken(context, isOrphanRoute: isOrphan)
            }
        case ("renew-self", .write):
            return .change(.tokenRenew, what, .capability(.update)) { vault, context in
                guard let entry = context.caller?.token else { throw VaultError.permissionDenied }
                return try await vault.renew(entry, context)
            }
        case ("revoke-self", .write):
            return .change(.tokenRevoke, what, .capability(.update)) { vault, context in
                guard let entry = context.caller?.token else { throw VaultError.permissionDenied }
                return Effect(.noContent, generation: try await vault.revoke(tokenTree: entry.hash))
            }
        case ("lookup", .write), ("renew", .write), ("revoke", .write), ("lookup-accessor", .write),
            ("renew-accessor", .write), ("revoke-accessor", .write):
            return namedTokenEndpoint(action, what)
        case ("lookup-self", _), ("create", _), ("renew-self", _), ("revoke-self", _), ("lookup", _), ("revoke", _),
            ("renew", _):
            return .unsupported(what)
        default: return nil
        }
    }

    /// `lookup`, `renew`, `revoke`, by token or by accessor, of any token.
    private func namedTokenEndpoint(_ action: String, _ what: AuditWhat) -> Endpoint {
        let byAccessor = action.hasSuffix("-accessor")
        if action.hasPrefix("lookup") {
            return .read(.tokenLookup, what, .capability(.update)) { vault, context in
                let entry = try vault.namedToken(context, byAccessor: byAccessor)
                var what = what
                what.details = [("accessor", .text(entry.accessor))]
                return Effect(.data(vault.lookup(entry, context, showsID: !byAccessor)), what: what)
            }
        }
        let isRenewal = action.hasPrefix("renew")
        return .change(isRenewal ? .tokenRenew : .tokenRevoke, what, .capability(.update)) { vault, context in
            let entry = try vault.namedToken(context, byAccessor: byAccessor)
            var effect =
                isRenewal
                ? try await vault.renew(entry, context)
                : Effect(.noContent, generation: try await vault.revoke(tokenTree: entry.hash))
            var what = what
            what.details = [("accessor", .text(entry.accessor))]
            effect.what = what
            return effect
        }
    }

    private func namedToken(_ context: RequestContext, byAccessor: Bool) throws -> TokenEntry {
        guard let state = unsealed else { throw VaultError.sealed }
        let hash: Digest? = try withBody(context) { body in
            if byAccessor {
                guard let accessor = body?["accessor"]?.string else { throw VaultError.badRequest("missing accessor") }
                let row = try barrier.get(.tokenAccessor(accessor))
                return row.flatMap { $0.value.withBytes { Digest(Array($0)) } }
            }
            guard let token = body?["token"], let count = token.stringCount, (1...512).contains(count) else {
                throw VaultError.badRequest("missing token")
            }
            return SharedSecret(SecretBytes(count: count) { token.decodeString(into: $0) })
                .withBytes { state.tokenKey.authenticate($0) }
        }
        guard let hash, let entry = try tokenEntry(hash, state), !entry.isExpired(at: context.now) else {
            throw byAccessor ? VaultError.badRequest("invalid accessor") : VaultError(.permissionDenied, "bad token")
        }
        return entry
    }

    private func lookup(_ entry: TokenEntry, _ context: RequestContext, showsID: Bool = true) -> ResponseBody {
        var body = ResponseBody()
        body.append(text: #"{"id":"#)
        if showsID, let token = context.caller?.token?.hash == entry.hash ? context.request.token : bodyToken(context) {
            body.append(quotedSecret: token)
        } else {
            body.append(text: #""""#)
        }
        var members: [JSONValue.Member] = [
            .init("accessor", .string(entry.accessor)), .init("policies", .strings(entry.policies)),
            .init("path", .string(entry.path)),
            .init("meta", entry.meta.isEmpty ? .null : metaJSON(entry)),
            .init("display_name", .string(entry.displayName)), .init("num_uses", .integer(0)),
            .init("orphan", .bool(entry.isOrphan)), .init("creation_time", .integer(entry.created.seconds)),
            .init("creation_ttl", .integer(entry.ttl)),
            .init("expire_time", entry.expires.map { .string($0.rfc3339) } ?? .null),
            .init("ttl", .integer(entry.remaining(at: context.now))),
            .init("explicit_max_ttl", .integer(entry.explicitMaximumTTL)), .init("entity_id", .string("")),
            .init("type", .string("service")), .init("renewable", .bool(entry.isRenewable)),
            .init("issue_time", .string(entry.created.rfc3339)),
        ]
        if entry.period > 0 { members.append(.init("period", .integer(entry.period))) }
        if let renewal = entry.lastRenewal {
            members.append(.init("last_renewal", .string(renewal.rfc3339)))
            members.append(.init("last_renewal_time", .integer(renewal.seconds)))
        }
        if let uid = entry.boundUID { members.append(.init("bound_uid", .integer(uid))) }
        if let unit = entry.boundUnit { members.append(.init("bound_unit", .string(unit))) }
        body.append([0x2c] + Array(JSONValue.object(members).encoded().dropFirst()))
        return body
    }

    private func bodyToken(_ context: RequestContext) -> SharedSecret? {
        try? withBody(context) { body in
            guard let token = body?["token"], let count = token.stringCount,
                token.raw.allSatisfy({ $0 != 0x5c }), (1...512).contains(count)
            else { return nil }
            return SharedSecret(SecretBytes(count: count) { token.decodeString(into: $0) })
        }
    }

    private func metaJSON(_ entry: TokenEntry) -> JSONValue {
        .object(entry.meta.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })
    }

    // MARK: renewal and revocation

    private func renew(_ entry: TokenEntry, _ context: RequestContext) async throws -> Effect {
        let increment = try withBody(context) { body -> Int64 in
            guard let value = body?["increment"] else { return 0 }
            guard let seconds = GoDuration.seconds(value) else {
                throw VaultError.badRequest("increment is not a duration")
            }
            return seconds
        }
        guard entry.isRenewable, entry.expires != nil else { throw VaultError.badRequest("lease is not renewable") }
        let wanted = entry.period > 0 ? entry.period : increment > 0 ? increment : entry.ttl
        var limit = Int64.max
        if entry.period == 0 { limit = configuration.maximumTokenTTL }
        if entry.explicitMaximumTTL > 0 { limit = min(limit, entry.explicitMaximumTTL) }
        let latest = entry.created.adding(seconds: limit == .max ? 4_000_000_000 : limit)
        let expires = min(context.now.adding(seconds: wanted), latest)
        let renewed = entry.renewed(until: expires, ttl: wanted, at: context.now)
        // Nothing suspends between this look and the queueing: a revocation that begins later is queued later, and wins.
        guard let state = unsealed, try tokenEntry(entry.hash, state) != nil else { throw VaultError.permissionDenied }
        let generation = try await commit([
            .put(.token(entry.hash), renewed.encoded, expect: .any), .expiry(of: entry.hash, at: expires),
        ])
        // Commits are heard of in any order: the next use reads what is stored.
        state.tokens[entry.hash] = nil
        state.forgetCallers()
        state.leases.schedule(.token(entry.hash), at: expires)
        var reply = Reply.auth(authBlock(renewed, token: context.request.token, context))
        if expires == latest, latest < context.now.adding(seconds: wanted) {
            reply.warnings = [
                "TTL of \"\(GoDuration.text(wanted))\" exceeded the effective max TTL; capped accordingly"
            ]
        }
        return Effect(reply, generation: generation)
    }

    /// Revokes a token, its children, and the leases of all of them.
    ///
    /// From the first step on the whole tree counts as gone. Children go before their parent, so that a crash on the way
    /// leaves no child without one, and whoever asks again finishes the rest.
    /// - Returns: the generation of the last change.
    func revoke(tokenTree root: Digest) async throws -> UInt64 {
        guard let state = unsealed else { throw VaultError.sealed }
        var tree: [TokenEntry] = []
        defer { for entry in tree { state.endingTokens.remove(entry.hash) } }
        var queue = [root]
        while let hash = queue.popLast() {
            guard let entry = try tokenEntry(hash, state) else { continue }
            state.endingTokens.insert(hash)
            state.forgetCallers()
            tree.append(entry)
            // Children that were queued before: durable after this, and seen below.
            if state.childrenInFlight[hash] != nil { _ = try await commit([]) }
            let children = try barrier.names(in: .token, parent: BarrierKey.childrenParent(of: hash))
            queue.append(contentsOf: children.compactMap { Digest($0) })
        }
        var generation = barrier.generation ?? 0
        for entry in tree.reversed() { generation = try await remove(entry, state) }
        return generation
    }

    private func remove(_ entry: TokenEntry, _ state: UnsealedState) async throws -> UInt64 {
        let owner = "token:" + Hex.encode(entry.hash.bytes)
        try await revokeLeases(ownedBy: owner)
        var mutations: [BarrierMutation] = [
            .delete(.token(entry.hash), expect: .any), .delete(.tokenAccessor(entry.accessor), expect: .any),
        ]
        if let parent = entry.parent { mutations.append(.delete(.tokenChild(entry.hash, of: parent), expect: .any)) }
        if let expires = try storedToken(entry.hash, state)?.expires {
            mutations.append(.delete(.expiry(of: entry.hash, at: expires), expect: .any))
        }
        let generation = try await commit(mutations)
        state.tokens[entry.hash] = nil
        state.revokedTokens.insert(entry.hash)
        // Leases that were queued before the token was marked.
        try await revokeLeases(ownedBy: owner)
        return generation
    }

    /// The `auth` block of a login, creation or renewal.
    func authBlock(_ entry: TokenEntry, token: SharedSecret?, _ context: RequestContext) -> ResponseBody {
        var body = ResponseBody()
        body.append(text: #"{"client_token":"#)
        if let token { body.append(quotedSecret: token) } else { body.append(text: #""""#) }
        let members: [JSONValue.Member] = [
            .init("accessor", .string(entry.accessor)), .init("policies", .strings(entry.policies)),
            .init("token_policies", .strings(entry.policies)), .init("identity_policies", .null),
            .init("metadata", entry.meta.isEmpty ? .null : metaJSON(entry)),
            .init("lease_duration", .integer(entry.remaining(at: context.now))),
            .init("renewable", .bool(entry.isRenewable)), .init("entity_id", .string("")),
            .init("token_type", .string("service")), .init("orphan", .bool(entry.isOrphan)),
            .init("mfa_requirement", .null), .init("num_uses", .integer(0)),
        ]
        body.append([0x2c] + Array(JSONValue.object(members).encoded().dropFirst()))
        return body
    }

    /// Lends the parsed body of a request; nil for an empty body or JSON `null`.
    /// - Throws: ``VaultError`` `.badRequest` when it is no JSON object, and what `read` throws.
    func withBody<R>(_ context: RequestContext, _ read: (JSONView?) throws -> R) throws -> R {
        guard let body = context.request.body else { return try read(nil) }
        return try body.withBytes { bytes in
            let view = try JSONView(bytes)
            if view.isNull { return try read(nil) }
            guard view.isObject else { throw VaultError.badRequest("the body must be a JSON object") }
            return try read(view)
        }
    }
}
