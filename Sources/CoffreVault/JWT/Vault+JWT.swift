internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// `auth/<mount>/` of type `jwt`: people and services known by the tokens of an OpenID Connect provider.
extension Vault {
    func jwtEndpoint(_ context: RequestContext, _ mount: Mount, _ rest: [UInt8]) throws -> Endpoint? {
        let place = JWTPlace(mount: mount)
        let path = String(decoding: rest, as: UTF8.self)
        let what = AuditWhat(path: mount.path + path)
        switch (path, context.verb) {
        case ("config", .get):
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let configuration = try vault.jwtConfiguration(place) else { throw VaultError.notFound }
                return Effect(.data(.object(configuration.json)))
            }
        case ("config", .write):
            return .change(.authChange, what, .capability(.update)) { vault, context in
                try await vault.putJWTConfiguration(place, context)
            }
        case ("config", _): return .unsupported(what)
        case ("role", .list):
            return .read(.sysRead, what, .capability(.list)) { vault, _ in
                try vault.listing(.identity, place.parent("role"))
            }
        case ("role", _): return .unsupported(what, .list)
        default: break
        }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts[0] == "keys" { return jwtKeysEndpoint(context, place, parts, what) }
        guard parts.count == 2, parts[0] == "role", isName(parts[1]) else { return nil }
        return try jwtRoleEndpoint(context, place, parts[1].lowercased(), what)
    }

    private func jwtRoleEndpoint(_ context: RequestContext, _ place: JWTPlace, _ name: String, _ what: AuditWhat)
        throws -> Endpoint
    {
        switch context.verb {
        case .get:
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let role = try vault.jwtRole(place, name) else { throw VaultError.notFound }
                return Effect(.data(.object(role.json)))
            }
        case .write:
            let exists = try barrier.get(place.role(name)) != nil
            return .change(.authChange, what, .capability(exists ? .update : .create)) { vault, context in
                try await vault.inJWTTurn(place) {
                    var role = try vault.jwtRole(place, name) ?? JWTRole(name: name)
                    let warnings = try vault.withBody(context) { body in
                        guard let body else { throw VaultError.badRequest("missing user_claim") }
                        return try role.apply(body)
                    }
                    var reply = Reply.noContent
                    reply.warnings = warnings
                    let generation = try await vault.commit([.put(place.role(name), role.encoded, expect: .any)])
                    return Effect(reply, generation: generation)
                }
            }
        case .delete:
            return .change(.authChange, what, .capability(.delete)) { vault, _ in
                try await vault.inJWTTurn(place) {
                    Effect(.noContent, generation: try await vault.commit([.delete(place.role(name), expect: .any)]))
                }
            }
        default: return .unsupported(what)
        }
    }

    /// Changes of one mount follow each other.
    func inJWTTurn(_ place: JWTPlace, _ body: () async throws -> Effect) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("jwt/\(place.mount.id)".utf8)) { try await body() }
    }

    func jwtRole(_ place: JWTPlace, _ name: String) throws -> JWTRole? {
        guard isName(name), let row = try barrier.get(place.role(name)) else { return nil }
        var role = JWTRole(name: name)
        _ = try row.value.withBytes { try role.apply(try JSONView($0)) }
        return role
    }

    func jwtConfiguration(_ place: JWTPlace) throws -> JWTConfiguration? {
        guard let row = try barrier.get(place.configuration) else { return nil }
        return try row.value.withBytes { try JWTConfiguration(try JSONView($0)) }
    }

    private func putJWTConfiguration(_ place: JWTPlace, _ context: RequestContext) async throws -> Effect {
        let configuration = try withBody(context) { body in
            guard let body else { throw VaultError.badRequest("the body gives the provider's keys") }
            return try JWTConfiguration(body)
        }
        // Keys that no token names are tried one after the other, at each guess.
        let nameless = configuration.pems.count + configuration.jwks.count { $0["kid"]?.string == nil }
        guard nameless <= JWTKey.mostNameless else {
            throw VaultError.badRequest("at most \(JWTKey.mostNameless) keys can be without kid, those in PEM included")
        }
        // Every key is made once before it is stored: one that cannot be used never becomes the configuration.
        _ = try await LoadedJWT(configuration)
        return try await inJWTTurn(place) {
            var mutations: [BarrierMutation] = [.put(place.configuration, configuration.encoded, expect: .any)]
            // Keys from another address are another provider's.
            let isSame = try jwtConfiguration(place)?.jwksURL.utf8.elementsEqual(configuration.jwksURL.utf8) ?? true
            let fetched = isSame ? try await fetchedKeys(place) : []
            if !isSame {
                mutations += try barrier.names(in: .identity, parent: place.parent("jwt-key")).map {
                    .delete(BarrierKey(namespace: .identity, parent: place.parent("jwt-key"), name: $0), expect: .any)
                }
            }
            let loaded = try await LoadedJWT(configuration, fetched: fetched)
            let generation = try await commit(mutations)
            unsealed?.jwt[place.mount.id] = loaded
            return Effect(.noContent, generation: generation)
        }
    }

    /// The configuration of a mount with its keys ready.
    /// - Throws: ``VaultError`` `.badRequest` when there is none.
    func loadedJWT(_ mount: Mount) async throws -> LoadedJWT {
        guard let state = unsealed else { throw VaultError.sealed }
        if let loaded = state.jwt[mount.id] { return loaded }
        let place = JWTPlace(mount: mount)
        return try await state.locks.withLock(Array("jwt/\(mount.id)".utf8)) {
            if let loaded = state.jwt[mount.id] { return loaded }
            guard let configuration = try jwtConfiguration(place) else {
                throw VaultError.badRequest("could not load configuration")
            }
            let loaded = try await LoadedJWT(configuration, fetched: fetchedKeys(place))
            state.jwt[mount.id] = loaded
            return loaded
        }
    }

    // MARK: login

    private struct JWTLogin {
        let role: JWTRole
        let person: JWTPerson
    }

    /// `auth/<mount>/login`. The token is looked at before anything is recorded as a change, so that guesses cost what any
    /// refused request costs.
    func jwtLoginEndpoint(_ context: RequestContext, _ mount: Mount) throws -> Endpoint {
        let what = AuditWhat(path: mount.path + "login")
        guard context.verb == .write else {
            return .read(.requestUnmatched, what, .anyone) { _, _ in throw VaultError.unsupportedOperation }
        }
        do {
            try lookAtLogin(mount, context)
        } catch {
            return .read(.authFail, what, .anyone) { _, _ in throw error }
        }
        return .change(.authOk, what, .anyone) { vault, context in
            let loaded = try await vault.loadedJWT(mount)
            return try await vault.logIn(try vault.checkJWTLogin(loaded, mount, context), mount, context)
        }
    }

    /// As much as can be told before the keys are ready: the first login after an unseal makes them.
    private func lookAtLogin(_ mount: Mount, _ context: RequestContext) throws {
        if let loaded = unsealed?.jwt[mount.id] {
            _ = try checkJWTLogin(loaded, mount, context)
            return
        }
        guard let configuration = try jwtConfiguration(JWTPlace(mount: mount)) else {
            throw VaultError.badRequest("could not load configuration")
        }
        let (_, text) = try jwtLogin(configuration, mount, context)
        do throws(JWTRefusal) {
            _ = try text.withBytes { bytes throws(JWTRefusal) in try JWTToken(bytes) }
        } catch {
            throw VaultError.badRequest("error validating token: \(error.reason)")
        }
    }

    /// The role and the token of a login.
    private func jwtLogin(_ configuration: JWTConfiguration, _ mount: Mount, _ context: RequestContext) throws
        -> (JWTRole, SharedSecret)
    {
        let (named, text) = try withBody(context) { body in
            let role = body?["role"]?.string ?? ""
            guard let field = body?["jwt"], let count = field.stringCount, count > 0 else {
                throw VaultError.badRequest(
                    role.isEmpty && configuration.defaultRole.isEmpty ? "missing role" : "missing token"
                )
            }
            guard count <= JWTToken.maximumBytes else {
                throw VaultError.badRequest("the token has more than \(JWTToken.maximumBytes) bytes")
            }
            return (role, SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) }))
        }
        let name = named.isEmpty ? configuration.defaultRole : named.lowercased()
        guard !name.isEmpty else { throw VaultError.badRequest("missing role") }
        guard let role = try jwtRole(JWTPlace(mount: mount), name) else {
            throw VaultError.badRequest("role \"\(isName(name) ? name : "")\" could not be found")
        }
        return (role, text)
    }

    private func checkJWTLogin(_ loaded: LoadedJWT, _ mount: Mount, _ context: RequestContext) throws -> JWTLogin {
        let (role, text) = try jwtLogin(loaded.configuration, mount, context)
        let person: JWTPerson
        do throws(JWTRefusal) {
            let token = try text.withBytes { bytes throws(JWTRefusal) in try JWTToken(bytes) }
            person = try loaded.check(role).person(of: token, now: context.now)
        } catch {
            if error.unknownKey != nil { lookForKeys(mount, loaded) }
            throw VaultError.badRequest("error validating token: \(loaded.reason(error, mount: mount))")
        }
        try checkOwnLogin(person, role, mount, loaded.configuration.issuer, context)
        return JWTLogin(role: role, person: person)
    }

    private func logIn(_ login: JWTLogin, _ mount: Mount, _ context: RequestContext) async throws -> Effect {
        let (role, person) = (login.role, login.person)
        let entity = try await entity(of: person, mount, context)
        var wanted = TokenRequest()
        wanted.policies = role.allPolicies
        wanted.ttl = role.tokenTTL
        wanted.maximumTTL = role.tokenMaximumTTL
        wanted.explicitMaximumTTL = role.tokenExplicitMaximumTTL
        wanted.period = role.tokenPeriod
        wanted.uses = role.tokenUses
        wanted.displayName = String(mount.shownPath.dropLast()) + "-" + person.alias
        wanted.meta = person.metadata.merging(["role": role.name]) { _, own in own }
        wanted.isOrphan = true
        wanted.entityID = entity.id
        let type = role.tokenType == "default" ? mount.tuning.tokenType : role.tokenType
        wanted.isBatch = type == "batch" || type == "default-batch"
        return try await issueToken(wanted, context, path: mount.path + "login", binding: nil)
    }
}
