internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// The stored token with this keyed hash, or nil.
    func tokenEntry(_ hash: Digest, _ state: UnsealedState) throws -> TokenEntry? {
        state.endingTokens.contains(hash) ? nil : try storedToken(hash, state)
    }

    /// Also a token whose revocation is under way.
    func storedToken(_ hash: Digest, _ state: UnsealedState) throws -> TokenEntry? {
        if let entry = state.tokens[hash] { return entry }
        guard let row = try barrier.get(.token(hash)) else { return nil }
        let entry = try TokenEntry(hash: hash, decoding: row.value)
        state.tokens[hash] = entry
        return entry
    }

    func tokenEndpoint(_ context: RequestContext, _ state: UnsealedState) throws -> Endpoint? {
        let action = String(decoding: context.path.dropFirst("auth/token/".utf8.count), as: UTF8.self)
        if action == "roles" || action.hasPrefix("roles/") { return try tokenRoleEndpoint(context, action) }
        let what = AuditWhat(path: "auth/token/" + action)
        let isWrite = context.verb == .write
        switch (action, context.verb) {
        case ("lookup-self", .get), ("lookup-self", .write):
            return .read(.tokenLookup, what, .capability(isWrite ? .update : .read)) { vault, context in
                guard let entry = context.caller?.token else { throw VaultError.permissionDenied }
                return Effect(.data(vault.lookup(entry, context)))
            }
        case ("accessors", .list):
            return .read(.tokenLookup, what, .sudo(.list)) { vault, _ in
                try vault.listing(.token, BarrierKey.accessors)
            }
        case ("create", .write), ("create-orphan", .write):
            let isOrphan = action == "create-orphan"
            return .change(.tokenIssue, what, .capability(.update)) { vault, context in
                try await vault.createToken(context, isOrphanRoute: isOrphan, role: nil)
            }
        case (let path, .write) where path.hasPrefix("create/"):
            let role = String(path.dropFirst(7))
            return .change(.tokenIssue, what, .capability(.update)) { vault, context in
                try await vault.createToken(context, isOrphanRoute: false, role: role)
            }
        case ("renew-self", .write):
            return .change(.tokenRenew, what, .capability(.update)) { vault, context in
                guard let entry = context.caller?.token else { throw VaultError.permissionDenied }
                return try await vault.renew(entry, context)
            }
        case ("revoke-self", .write):
            return .change(.tokenRevoke, what, .capability(.update)) { vault, context in
                guard let entry = context.caller?.token else { throw VaultError.permissionDenied }
                try vault.checkRevocable(entry)
                return Effect(.noContent, generation: try await vault.revoke(tokenTree: entry.hash))
            }
        case ("tidy", .write):
            return .change(.tokenChange, what, .sudo(.update)) { vault, _ in
                Task { await vault.tidyTokens() }
                var reply = Reply.empty(status: 202)
                reply.warnings = ["Tidy operation successfully started. What it finds is written to the journal."]
                return Effect(reply)
            }
        default: break
        }
        let (name, inPath) = Self.split(action)
        // A token in the path stays out of the record.
        let named = AuditWhat(path: "auth/token/" + name)
        switch (name, context.verb) {
        case ("lookup", .get) where inPath != nil:
            return namedTokenEndpoint("lookup", named, .read, inPath: inPath)
        case ("lookup", .write), ("renew", .write), ("revoke", .write), ("lookup-accessor", .write),
            ("renew-accessor", .write), ("revoke-accessor", .write):
            return namedTokenEndpoint(name, named, .update, inPath: inPath)
        case ("revoke-orphan", .write): return namedTokenEndpoint(name, named, .update, inPath: inPath, needsSudo: true)
        case ("lookup-self", _), ("create", _), ("create-orphan", _), ("renew-self", _), ("revoke-self", _),
            ("lookup", _), ("revoke", _), ("renew", _), ("accessors", _), ("tidy", _), ("revoke-orphan", _):
            return .unsupported(named)
        default: return nil
        }
    }

    /// Older clients put the token, or its accessor, after the action.
    private static func split(_ action: String) -> (String, String?) {
        guard let slash = action.firstIndex(of: "/") else { return (action, nil) }
        return (String(action[..<slash]), String(action[action.index(after: slash)...]))
    }

    private func checkRevocable(_ entry: TokenEntry) throws(VaultError) {
        if entry.kind == .batch { throw .badRequest("batch tokens cannot be revoked") }
    }

    /// `lookup`, `renew`, `revoke`, by token or by accessor, of any token.
    private func namedTokenEndpoint(
        _ action: String,
        _ what: AuditWhat,
        _ capability: Capability,
        inPath: String?,
        needsSudo: Bool = false
    ) -> Endpoint {
        let byAccessor = action.hasSuffix("-accessor")
        if action.hasPrefix("lookup") {
            return .read(.tokenLookup, what, .capability(capability)) { vault, context in
                let entry = try vault.namedToken(context, byAccessor: byAccessor, inPath: inPath)
                var what = what
                what.details = [("accessor", .text(entry.accessor))]
                return Effect(.data(vault.lookup(entry, context, showsID: !byAccessor && inPath == nil)), what: what)
            }
        }
        let isRenewal = action.hasPrefix("renew")
        let access = needsSudo ? Endpoint.Access.sudo(capability) : .capability(capability)
        return .change(isRenewal ? .tokenRenew : .tokenRevoke, what, access) { vault, context in
            let entry: TokenEntry
            do {
                entry = try vault.namedToken(context, byAccessor: byAccessor, inPath: inPath)
            } catch let error as VaultError where action == "revoke" && error.code == .permissionDenied {
                // What is gone already counts as revoked.
                return Effect(.noContent)
            } catch let error as VaultError where action == "revoke-accessor" && error.message == "invalid accessor" {
                var reply = Reply.empty()
                reply.warnings = ["No token found with this accessor"]
                return Effect(reply)
            }
            var effect: Effect
            if isRenewal {
                effect = try await vault.renew(entry, context)
            } else {
                try vault.checkRevocable(entry)
                let generation = try await vault.revoke(tokenTree: entry.hash, keepsChildren: action == "revoke-orphan")
                effect = Effect(.noContent, generation: generation)
            }
            var what = what
            what.details = [("accessor", .text(entry.accessor))]
            effect.what = what
            return effect
        }
    }

    private func namedToken(_ context: RequestContext, byAccessor: Bool, inPath: String?) throws -> TokenEntry {
        guard let state = unsealed else { throw VaultError.sealed }
        let entry: TokenEntry? = try withBody(context) { body in
            if byAccessor {
                guard let accessor = body?["accessor"]?.string ?? inPath else {
                    throw VaultError.badRequest("missing accessor")
                }
                let row = try barrier.get(.tokenAccessor(accessor))
                let hash = row.flatMap { $0.value.withBytes { Digest(Array($0)) } }
                return try hash.flatMap { try tokenEntry($0, state) }
            }
            let token: SharedSecret
            if let inPath, body?["token"] == nil {
                token = SharedSecret(copying: Array(inPath.utf8))
            } else {
                guard let field = body?["token"], let count = field.stringCount,
                    (1...Self.maximumTokenBytes).contains(count)
                else { throw VaultError.badRequest("missing token") }
                token = SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) })
            }
            return try self.entry(of: token, token.withBytes { state.tokenKey.authenticate($0) }, state)
        }
        guard let entry, !entry.isExpired(at: context.now), entry.usesLeft >= 0 else {
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
            .init("display_name", .string(entry.displayName)), .init("num_uses", .integer(entry.usesLeft)),
            .init("orphan", .bool(entry.isOrphan)), .init("creation_time", .integer(entry.created.seconds)),
            .init("creation_ttl", .integer(entry.ttl)),
            .init("expire_time", entry.expires.map { .string($0.rfc3339) } ?? .null),
            .init("ttl", .integer(entry.remaining(at: context.now))),
            .init("explicit_max_ttl", .integer(entry.explicitMaximumTTL)), .init("entity_id", .string(entry.entityID)),
            .init("type", .string(entry.kind.rawValue)), .init("renewable", .bool(entry.isRenewable)),
            .init("issue_time", .string(entry.created.rfc3339)),
        ]
        if entry.period > 0 { members.append(.init("period", .integer(entry.period))) }
        if let renewal = entry.lastRenewal {
            members.append(.init("last_renewal", .string(renewal.rfc3339)))
            members.append(.init("last_renewal_time", .integer(renewal.seconds)))
        }
        if !entry.role.isEmpty { members.append(.init("role", .string(entry.role))) }
        let inherited = identityPolicies(of: entry)
        if !inherited.isEmpty { members.append(.init("identity_policies", .strings(inherited))) }
        if let uid = entry.boundUID { members.append(.init("bound_uid", .integer(uid))) }
        if let unit = entry.boundUnit { members.append(.init("bound_unit", .string(unit))) }
        body.append([0x2c] + Array(JSONValue.object(members).encoded().dropFirst()))
        return body
    }

    private func bodyToken(_ context: RequestContext) -> SharedSecret? {
        try? withBody(context) { body in
            guard let token = body?["token"], let count = token.stringCount,
                token.raw.allSatisfy({ $0 != 0x5c }), (1...Self.maximumTokenBytes).contains(count)
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
        if entry.kind == .batch { throw VaultError.badRequest("batch tokens cannot be renewed") }
        guard let state = unsealed else { throw VaultError.sealed }
        // In turn with the uses of a limited token, which is written as well.
        return try await state.locks.withLock(Self.turn(of: entry.hash)) {
            try await renewInTurn(entry.hash, increment, context, state)
        }
    }

    /// Who changes a token's row waits for others who do.
    static func turn(of token: Digest) -> [UInt8] { Array("token/".utf8) + token.bytes }

    private func renewInTurn(_ hash: Digest, _ increment: Int64, _ context: RequestContext, _ state: UnsealedState)
        async throws -> Effect
    {
        // Nothing suspends between this look and the queueing: a revocation that begins later is queued later, and wins.
        guard let entry = try tokenEntry(hash, state) else { throw VaultError.permissionDenied }
        guard entry.isRenewable, entry.expires != nil else { throw VaultError.badRequest("lease is not renewable") }
        let wanted = entry.period > 0 ? entry.period : increment > 0 ? increment : entry.ttl
        let mount = state.mounts.mount(of: Array(entry.path.utf8))
        let latest = entry.latest(mount.map { lifetime(of: $0).maximum } ?? configuration.maximumTokenTTL)
        let asked = context.now.adding(seconds: wanted)
        var renewed = entry
        renewed.expires = min(asked, latest ?? asked)
        renewed.ttl = wanted
        renewed.lastRenewal = context.now
        let expires = renewed.expires ?? asked
        let generation = try await commit([
            .put(.token(hash), renewed.encoded, expect: .any), .expiry(of: hash, at: expires),
        ])
        // Commits are heard of in any order: the next use reads what is stored.
        state.tokens[hash] = nil
        state.forgetCallers()
        state.leases.schedule(.token(hash), at: expires)
        let isOwn = context.caller?.token?.hash == hash
        var reply = Reply.auth(authBlock(renewed, token: isOwn ? context.request.token : bodyToken(context), context))
        if expires < asked {
            reply.warnings = [
                "TTL of \"\(GoDuration.text(wanted))\" exceeded the effective max_ttl of "
                    + "\"\(GoDuration.text(max(0, (expires.seconds - context.now.seconds))))\"; TTL value is capped accordingly"
            ]
        }
        return Effect(reply, generation: generation)
    }

    /// The `auth` block of a login, creation or renewal.
    func authBlock(_ entry: TokenEntry, token: SharedSecret?, _ context: RequestContext) -> ResponseBody {
        var body = ResponseBody()
        body.append(text: #"{"client_token":"#)
        if let token { body.append(quotedSecret: token) } else { body.append(text: #""""#) }
        let inherited = identityPolicies(of: entry)
        var members: [JSONValue.Member] = [
            .init("accessor", .string(entry.accessor)),
            .init("policies", .strings(Set(entry.policies + inherited).sorted())),
            .init("token_policies", .strings(entry.policies)),
            .init("metadata", entry.meta.isEmpty ? .null : metaJSON(entry)),
            .init("lease_duration", .integer(entry.remaining(at: context.now))),
            .init("renewable", .bool(entry.isRenewable)), .init("entity_id", .string(entry.entityID)),
            .init("token_type", .string(entry.kind.rawValue)), .init("orphan", .bool(entry.isOrphan)),
            .init("mfa_requirement", .null), .init("num_uses", .integer(entry.usesLeft)),
        ]
        if !inherited.isEmpty { members.append(.init("identity_policies", .strings(inherited))) }
        body.append([0x2c] + Array(JSONValue.object(members).encoded().dropFirst()))
        return body
    }

    /// What the entity behind a token adds to its policies.
    func identityPolicies(of entry: TokenEntry) -> [String] {
        guard let table = unsealed?.identity, let entity = table.entities[entry.entityID] else { return [] }
        return table.policies(of: entity)
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
