internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    func databaseEndpoint(_ context: RequestContext, _ mount: Mount, _ rest: [UInt8]) throws -> Endpoint? {
        let parts = String(decoding: rest, as: UTF8.self).split(separator: "/", omittingEmptySubsequences: false)
            .map(String.init)
        let place = DatabasePlace(mount: mount)
        var what = AuditWhat()
        what.path = mount.path + parts.joined(separator: "/")
        guard let kind = parts.first, parts.count <= 2 else { return nil }
        let name = parts.count == 2 ? parts[1] : nil
        if let name, !isName(name) { return nil }
        switch (kind, name) {
        case ("config", nil), ("roles", nil), ("static-roles", nil):
            guard context.verb == .list else { return .unsupported(what, .list) }
            return .read(.engineRead, what, .capability(.list)) { vault, _ in
                let names = try vault.barrier.names(in: .database, parent: place.parent(kind))
                guard !names.isEmpty else { throw VaultError.notFound }
                return Effect(.data(["keys": .strings(names.map { String(decoding: $0, as: UTF8.self) })]))
            }
        case ("config", let name?): return try configurationEndpoint(context, place, name, what)
        case ("roles", let name?): return try roleEndpoint(context, place, name, what)
        case ("creds", let name?):
            guard context.verb == .get else { return .unsupported(what, .read) }
            return credentialsEndpoint(context, place, name, what)
        case ("static-roles", let name?): return try staticRoleEndpoint(context, place, name, what)
        case ("static-creds", let name?):
            guard context.verb == .get else { return .unsupported(what, .read) }
            return staticCredentialsEndpoint(place, name, what)
        case ("rotate-role", let name?):
            guard context.verb == .write else { return .unsupported(what) }
            return .change(.rotationStart, what, .capability(.update)) { vault, _ in
                Effect(.noContent, generation: try await vault.rotate(place, name))
            }
        case ("rotate-root", let name?):
            guard context.verb == .write else { return .unsupported(what) }
            return .change(.rotationStart, what, .capability(.update)) { vault, _ in
                Effect(.noContent, generation: try await vault.rotateRoot(place, name))
            }
        case ("reset", let name?):
            guard context.verb == .write else { return .unsupported(what) }
            return .change(.engineChange, what, .capability(.update)) { vault, _ in
                let (target, password) = try vault.administrator(of: place, name)
                try await vault.verifyDatabase(target, of: place.connectionID(name), password: password)
                return Effect(.noContent)
            }
        default: return nil
        }
    }

    /// Where a configuration's server is, and its administrator's password.
    func administrator(of place: DatabasePlace, _ name: String) throws -> (DatabaseTarget, SharedSecret) {
        guard let configuration = try databaseConfiguration(place, name),
            let password = try barrier.get(place.password(name))?.value
        else { throw VaultError.badRequest("failed to find entry for connection with name: \"\(name)\"") }
        return (try DatabaseTarget(configuration), password)
    }

    func databaseConfiguration(_ place: DatabasePlace, _ name: String) throws -> DatabaseConfiguration? {
        try barrier.get(place.configuration(name)).map { try DatabaseConfiguration(name: name, decoding: $0.value) }
    }

    func databaseRole(_ place: DatabasePlace, _ name: String) throws -> DatabaseRole? {
        guard let row = try barrier.get(place.role(name)) else { return nil }
        return try row.value.withBytes { try DatabaseRole(name: name, JSONView($0)) }
    }

    private func configurationEndpoint(
        _ context: RequestContext,
        _ place: DatabasePlace,
        _ name: String,
        _ what: AuditWhat
    ) throws -> Endpoint? {
        switch context.verb {
        case .get:
            return .read(.engineRead, what, .capability(.read)) { vault, _ in
                guard let configuration = try vault.databaseConfiguration(place, name) else {
                    throw VaultError.notFound
                }
                return Effect(.data(configuration.json))
            }
        case .write:
            let exists = try barrier.get(place.configuration(name)) != nil
            return .change(.engineChange, what, .capability(exists ? .update : .create)) { vault, context in
                try await vault.putConfiguration(place, name, what, context)
            }
        case .delete:
            return .change(.engineChange, what, .capability(.delete)) { vault, _ in
                try await vault.deleteConfiguration(place, name)
            }
        default: return .unsupported(what)
        }
    }

    private func deleteConfiguration(_ place: DatabasePlace, _ name: String) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("database/\(place.connectionID(name))".utf8)) {
            try refuseWhileLeased(place, name)
            let generation = try await commit([
                .delete(place.configuration(name), expect: .any), .delete(place.password(name), expect: .any),
                .delete(place.pendingRoot(name), expect: .any),
            ])
            return Effect(.noContent, generation: generation)
        }
    }

    private func refuseWhileLeased(_ place: DatabasePlace, _ name: String) throws {
        let leases = BarrierKey.leaseConnectionParent(place.connectionID(name))
        let live = try barrier.names(in: .lease, parent: leases).count
        guard live == 0 else {
            throw VaultError.badRequest("\(live) leases still need this configuration: revoke them first")
        }
        let roles = try staticRoles(of: place, connection: name).count
        guard roles == 0 else {
            throw VaultError.badRequest("\(roles) static roles still need this configuration: delete them first")
        }
    }

    private func putConfiguration(
        _ place: DatabasePlace,
        _ name: String,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("database/\(place.connectionID(name))".utf8)) {
            let known = try databaseConfiguration(place, name)
            let (wanted, given, verifies) = try withBody(context) { try DatabaseInput.read(name, $0, known) }
            let target = try DatabaseTarget(wanted)
            var password = given
            // What an interrupted `rotate-root` has left belongs to the server that it was made for, and to no other.
            var keepsPending = false
            if let known {
                let old = try DatabaseTarget(known)
                if !old.isSamePlace(as: target) {
                    try refuseWhileLeased(place, name)
                } else if old.isSameUser(as: target) {
                    if password == nil { password = try barrier.get(place.password(name))?.value }
                    // It may be the only one that works, unless another has just been proven.
                    keepsPending = given == nil || !verifies
                }
            }
            guard let password else {
                throw VaultError.badRequest(
                    known == nil
                        ? "password is missing: send it in the field password"
                        : "the host or the user changed, which voids the stored password: send it again in the field password"
                )
            }
            if target.isWithoutTLS { try await recordWaivedTLS(what, context) }
            if verifies {
                let guesser = given == nil ? nil : guesser(context)
                try await verifyDatabase(target, of: place.connectionID(name), password: password, guesser: guesser)
            }
            var mutations: [BarrierMutation] = [
                .put(place.configuration(name), wanted.encoded, expect: .any),
                .put(place.password(name), password, expect: .any),
            ]
            if !keepsPending { mutations.append(.delete(place.pendingRoot(name), expect: .any)) }
            let generation = try await commit(mutations)
            return Effect(.noContent, generation: generation)
        }
    }

    /// Credentials will travel without TLS because somebody chose so: a record of its own.
    private func recordWaivedTLS(_ what: AuditWhat, _ context: RequestContext) async throws {
        let record = AuditDraft(
            .tlsWaived,
            outcome: .granted,
            correlation: context.correlation,
            acceptedAt: context.request.acceptedAt,
            who: context.caller?.who ?? who(of: context.principal),
            what: what,
            why: context.why
        )
        do {
            _ = try await appendRecord(record)
        } catch {
            throw VaultError(.auditUnavailable, "the audit log cannot be written", cause: error)
        }
    }

    private func roleEndpoint(
        _ context: RequestContext,
        _ place: DatabasePlace,
        _ name: String,
        _ what: AuditWhat
    ) throws -> Endpoint? {
        switch context.verb {
        case .get:
            return .read(.engineRead, what, .capability(.read)) { vault, _ in
                guard let role = try vault.databaseRole(place, name) else { throw VaultError.notFound }
                return Effect(.data(role.json))
            }
        case .write:
            let exists = try barrier.get(place.role(name)) != nil
            return .change(.engineChange, what, .capability(exists ? .update : .create)) { vault, context in
                let role = try vault.withBody(context) { try DatabaseRole(name: name, $0) }
                let generation = try await vault.commit([.put(place.role(name), role.encoded, expect: .any)])
                return Effect(.noContent, generation: generation)
            }
        case .delete:
            // Leases carry their own statements, so a role can go while its logins live.
            return .change(.engineChange, what, .capability(.delete)) { vault, _ in
                let generation = try await vault.commit([.delete(place.role(name), expect: .any)])
                return Effect(.noContent, generation: generation)
            }
        default: return .unsupported(what)
        }
    }
}

/// What a client sends to `database/config/<name>`; absent fields keep their value.
private enum DatabaseInput {
    static func read(
        _ name: String,
        _ body: JSONView?,
        _ known: DatabaseConfiguration?
    ) throws(VaultError) -> (DatabaseConfiguration, password: SharedSecret?, verifies: Bool) {
        if let plugin = body?["plugin_name"]?.string, plugin != DatabaseConfiguration.plugin {
            throw .badRequest("plugin_name \"\(plugin)\" is not available: use \"\(DatabaseConfiguration.plugin)\"")
        }
        guard let url = body?["connection_url"]?.string ?? known?.connectionURL else {
            throw .badRequest("connection_url is missing, such as postgresql://{{username}}:{{password}}@host:5432/db")
        }
        guard let username = body?["username"]?.string ?? known?.username, !username.isEmpty else {
            throw .badRequest("username is missing")
        }
        var roles = known?.allowedRoles ?? []
        if let value = body?["allowed_roles"] {
            guard let names = value.stringList else { throw .badRequest("allowed_roles is a list of role names") }
            roles = names
        }
        var password: SharedSecret?
        if let field = body?["password"] {
            guard let count = field.stringCount, (1...4096).contains(count) else {
                throw .badRequest("password is a text of at most 4096 bytes")
            }
            password = SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) })
        }
        var certificate = known?.rootCertificate
        if let field = body?["tls_ca"] {
            guard let text = field.string, text.utf8.count <= BrokerJob.Limit.certificate,
                text.isEmpty || text.contains("-----BEGIN CERTIFICATE-----")
            else { throw .badRequest("tls_ca takes certificates in PEM, at most 128 KiB") }
            certificate = text.isEmpty ? nil : text
        }
        var configuration = DatabaseConfiguration(
            name: name,
            connectionURL: url,
            username: username,
            allowedRoles: roles,
            rootCertificate: certificate
        )
        configuration.rotationStatements = known?.rotationStatements ?? []
        if let value = body?["root_rotation_statements"] ?? body?["root_credentials_rotate_statements"] {
            let texts = value.isArray ? value.elements.compactMap(\.string) : [value.string ?? ""]
            configuration.rotationStatements = texts.filter { !$0.isEmpty }
            guard texts.count <= 64, texts.allSatisfy({ $0.utf8.count <= 16_384 }) else {
                throw .badRequest("root_rotation_statements takes up to 64 SQL texts of 16 KiB")
            }
        }
        configuration.passwordPolicy = body?["password_policy"]?.string ?? known?.passwordPolicy ?? ""
        if let template = body?["username_template"]?.string, !template.isEmpty {
            throw .badRequest("username_template is not available: names are coffre_<role>_<random>")
        }
        return (configuration, password, body?["verify_connection"]?.weakBool ?? true)
    }
}
