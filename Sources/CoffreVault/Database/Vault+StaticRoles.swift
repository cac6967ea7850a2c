internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    func staticRole(_ place: DatabasePlace, _ name: String) throws -> StaticRole? {
        try barrier.get(place.staticRole(name)).map { try StaticRole(name: name, decoding: $0.value) }
    }

    /// Names of the static roles that need a configuration.
    func staticRoles(of place: DatabasePlace, connection: String) throws -> [String] {
        try barrier.names(in: .database, parent: place.parent("static-roles"))
            .map { String(decoding: $0, as: UTF8.self) }
            .filter { try staticRole(place, $0)?.connection == connection }
    }

    func staticRoleEndpoint(_ context: RequestContext, _ place: DatabasePlace, _ name: String, _ what: AuditWhat) throws
        -> Endpoint
    {
        switch context.verb {
        case .get:
            return .read(.engineRead, what, .capability(.read)) { vault, _ in
                guard let role = try vault.staticRole(place, name) else { throw VaultError.notFound }
                return Effect(.data(role.json))
            }
        case .write:
            let exists = try staticRole(place, name) != nil
            return .change(.engineChange, what, .capability(exists ? .update : .create)) { vault, context in
                try await vault.putStaticRole(place, name, context)
            }
        case .delete:
            // The login stays as it is, with the password that it has.
            return .change(.engineChange, what, .capability(.delete)) { vault, _ in
                try await vault.deleteStaticRole(place, name)
            }
        default: return .unsupported(what)
        }
    }

    /// `static-creds/<name>`: the password that is in force. No lease: it is everybody's who may read it.
    func staticCredentialsEndpoint(_ place: DatabasePlace, _ name: String, _ what: AuditWhat) -> Endpoint {
        .read(.secretRead, what, .capability(.read)) { vault, context in
            guard let role = try vault.staticRole(place, name) else {
                throw VaultError.badRequest("unknown role: \(name)")
            }
            guard let password = try vault.barrier.get(place.staticPassword(name))?.value else {
                throw VaultError(.upstream, "the password of this login has not been set yet: see static-roles/\(name)")
            }
            let left = (role.due.nanoseconds - context.now.nanoseconds) / 1_000_000_000
            let members: [JSONValue.Member] = [
                .init("last_vault_rotation", role.lastRotation.map { .string($0.rfc3339) } ?? .null),
                .init("rotation_period", .integer(role.period)), .init("ttl", .integer(max(0, left))),
                .init("username", .string(role.username)),
            ]
            var body = ResponseBody(Array(JSONValue.object(members).encoded().dropLast()))
            body.append(text: #","password":"#)
            body.append(password.asJSONText)
            body.append(text: "}")
            var reply = Reply.data(body)
            if role.isUnsure {
                reply.warnings = ["the last rotation did not finish: whether this password works is unsure"]
            }
            return Effect(reply, what: what)
        }
    }

    private func rotationTurn(_ place: DatabasePlace, _ name: String) -> [UInt8] {
        Array("static/\(place.connectionID(name))".utf8)
    }

    private func putStaticRole(_ place: DatabasePlace, _ name: String, _ context: RequestContext) async throws -> Effect
    {
        guard let state = unsealed else { throw VaultError.sealed }
        let isNew = try await state.locks.withLock(Array("static-roles/\(place.mount.id)".utf8)) {
            let known = try staticRole(place, name)
            let role = try withBody(context) { try StaticRole(name: name, $0, known, now: context.now) }
            guard let configuration = try databaseConfiguration(place, role.connection) else {
                throw VaultError.badRequest("failed to find entry for connection with name: \"\(role.connection)\"")
            }
            guard configuration.allows(name) else {
                throw VaultError.badRequest("\"\(name)\" is not an allowed role of this database")
            }
            let user = place.staticUser(role.connection, role.username)
            if known == nil, try barrier.get(user) != nil {
                throw VaultError.badRequest("another static role has the login \"\(role.username)\" of this database")
            }
            var mutations: [BarrierMutation] = [
                .put(place.staticRole(name), role.encoded, expect: .any),
                .put(user, SharedSecret(copying: Array(name.utf8)), expect: .any),
            ]
            let item = LeaseSchedule.Item.rotation(place.connectionID(name))
            mutations.append(.put(item.key(at: role.due), LeaseSchedule.marker, expect: .any))
            _ = try await commit(mutations)
            state.leases.schedule(item, at: role.due)
            return known == nil
        }
        guard isNew else { return Effect(.noContent, generation: barrier.generation) }
        do {
            return Effect(.noContent, generation: try await rotate(place, name))
        } catch {
            // What cannot be rotated even once is no static role.
            _ = try await deleteStaticRole(place, name)
            throw error
        }
    }

    private func deleteStaticRole(_ place: DatabasePlace, _ name: String) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(rotationTurn(place, name)) {
            guard let role = try staticRole(place, name) else { return Effect(.noContent) }
            let generation = try await commit([
                .delete(place.staticRole(name), expect: .any), .delete(place.staticPassword(name), expect: .any),
                .delete(place.pendingPassword(name), expect: .any),
                .delete(place.staticUser(role.connection, role.username), expect: .any),
                .delete(LeaseSchedule.Item.rotation(place.connectionID(name)).key(at: role.due), expect: .any),
            ])
            return Effect(.noContent, generation: generation)
        }
    }

    // MARK: rotation

    /// One rotation: the new password is durable before the database hears of it, proven by a login before it counts.
    /// - Throws: ``VaultError``; the next attempt goes on with the same new password.
    func rotate(_ place: DatabasePlace, _ name: String) async throws -> UInt64 {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(rotationTurn(place, name)) {
            guard var role = try staticRole(place, name) else {
                throw VaultError.badRequest("no static role found for name \"\(name)\"")
            }
            let (target, administrator) = try administrator(of: place, role.connection)
            guard let configuration = try databaseConfiguration(place, role.connection) else {
                throw VaultError.notFound
            }
            let account = place.connectionID(role.connection)
            let known = try barrier.get(place.pendingPassword(name))?.value
            let pending = try known ?? makePassword(configuration)
            if known == nil { _ = try await commit([.put(place.pendingPassword(name), pending, expect: .any)]) }
            do {
                try await setPassword(of: role.username, to: pending, role.statements, target, account, administrator)
            } catch {
                let hasSetNothing = Self.hasSetNothing(error, isNew: known == nil, role.statements)
                let works = hasSetNothing ? false : await worksAs(role.username, pending, target, account)
                guard works else {
                    role.attempts += 1
                    var mutations: [BarrierMutation] = []
                    if hasSetNothing {
                        // To try passwords now would only add to the refusals of an account that may be somebody else's.
                        if known == nil { mutations = [.delete(place.pendingPassword(name), expect: .any)] }
                    } else {
                        let old = try barrier.get(place.staticPassword(name))?.value
                        role.isUnsure = if let old { await !worksAs(role.username, old, target, account) } else { true }
                    }
                    let delay = min(600, Int64(10) << min(role.attempts - 1, 6))
                    try await reschedule(&role, place, at: clock.now().adding(seconds: delay), mutations)
                    throw error
                }
            }
            let now = clock.now()
            role.attempts = 0
            role.isUnsure = false
            role.lastRotation = now
            return try await reschedule(
                &role,
                place,
                at: now.adding(seconds: role.period),
                [
                    .put(place.staticPassword(name), pending, expect: .any),
                    .delete(place.pendingPassword(name), expect: .any),
                ]
            )
        }
    }

    @discardableResult
    private func reschedule(
        _ role: inout StaticRole,
        _ place: DatabasePlace,
        at due: Timestamp,
        _ mutations: [BarrierMutation]
    ) async throws -> UInt64 {
        let item = LeaseSchedule.Item.rotation(place.connectionID(role.name))
        let old = item.key(at: role.due)
        role.due = due
        let generation = try await commit(
            mutations + [
                .delete(old, expect: .any), .put(place.staticRole(role.name), role.encoded, expect: .any),
                .put(item.key(at: due), LeaseSchedule.marker, expect: .any),
            ]
        )
        unsealed?.leases.schedule(item, at: due)
        return generation
    }

    func setPassword(
        of user: String,
        to password: SharedSecret,
        _ statements: [String],
        _ target: DatabaseTarget,
        _ account: String,
        _ administrator: SharedSecret
    ) async throws {
        let verifier: String
        do throws(CryptoError) {
            verifier = try ScramVerifier.make(password: password)
        } catch {
            throw VaultError(.internalError, "internal error", cause: error)
        }
        let texts = StaticRole.expand(statements, username: user, verifier: verifier)
        let job = target.job(.setPassword, login: user, statements: texts)
        _ = try await runJob(job, of: account, adminPassword: administrator, loginPassword: password)
    }

    /// Whether the failure of ``setPassword(of:to:_:_:_:_:)`` says that the password of the account is what it was: nobody
    /// was let in, or, for a password that was never sent before, the only statement was refused.
    static func hasSetNothing(_ error: any Error, isNew: Bool, _ statements: [String]) -> Bool {
        guard let failure = VaultError(mapping: error).brokerFailure else { return false }
        return failure.isBeforeAnyWork
            || isNew && statements.isEmpty && (failure.code == .rights || failure.sqlState == "42704")
    }

    func worksAs(_ user: String, _ password: SharedSecret, _ target: DatabaseTarget, _ account: String) async -> Bool {
        (try? await provesItself(user, password, target, account)) ?? false
    }

    /// Not again for a password that was refused lately: that does not work either.
    /// - Throws: ``VaultError`` when the server says neither yes nor no.
    func provesItself(
        _ user: String,
        _ password: SharedSecret,
        _ target: DatabaseTarget,
        _ account: String
    ) async throws -> Bool {
        let job = target.job(.verify, as: user)
        let answer = try await tryJob(job, for: originOfJobs(account), adminPassword: password, insists: false)
        guard case .failed(let failure) = answer else { return true }
        guard failure.code == .authentication || failure.code == .rights else { throw Self.error(failure) }
        return false
    }

    /// A due rotation of the schedule, between records of its own.
    func rotateWhenDue(_ id: String, _ now: Timestamp) {
        if id.hasPrefix(Connection.leasePrefix) { return rotateConnectionWhenDue(id, now) }
        let parts = id.split(separator: "/", maxSplits: 1).map(String.init)
        guard let state = unsealed, parts.count == 2, let mount = state.mounts.mount(id: parts[0]) else { return }
        let place = DatabasePlace(mount: mount)
        guard let role = try? staticRole(place, parts[1]) else { return }
        guard role.due <= now else {
            state.leases.schedule(.rotation(id), at: role.due)
            return
        }
        guard state.runningRotations.insert(id).inserted else { return }
        Task {
            let what = AuditWhat(path: "\(mount.path)static-roles/\(role.name)")
            do {
                try await self.recorded(.rotationStart, what) { _ = try await self.rotate(place, role.name) }
            } catch {
                self.journal(
                    true,
                    "a password could not be rotated and is tried again",
                    ["role": role.name, "reason": VaultError(mapping: error).message]
                )
                // A failure before the attempt was written down: the schedule knows nothing of it.
                if (try? self.staticRole(place, role.name))?.due ?? now <= now {
                    state.leases.push(.rotation(id), at: self.clock.now().adding(seconds: 60))
                }
            }
            state.runningRotations.remove(id)
        }
    }

    // MARK: the administrator's own password

    /// `rotate-root/<name>`: afterwards nobody but the vault knows it.
    func rotateRoot(_ place: DatabasePlace, _ name: String) async throws -> UInt64 {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("database/\(place.connectionID(name))".utf8)) {
            try await settleRoot(place, name)
            let (target, old) = try administrator(of: place, name)
            guard let configuration = try databaseConfiguration(place, name) else { throw VaultError.notFound }
            let (new, statements) = (try makePassword(configuration), configuration.rotationStatements)
            let (administrator, account) = (target.administrator, place.connectionID(name))
            _ = try await commit([.put(place.pendingRoot(name), new, expect: .any)])
            do {
                try await setPassword(of: administrator, to: new, statements, target, account, old)
            } catch {
                let hasSetNothing = Self.hasSetNothing(error, isNew: true, statements)
                let works = hasSetNothing ? false : await worksAs(administrator, new, target, account)
                guard works else {
                    let isOld = hasSetNothing ? true : await worksAs(administrator, old, target, account)
                    if isOld {
                        _ = try await commit([.delete(place.pendingRoot(name), expect: .any)])
                    }
                    throw error
                }
            }
            return try await promoteRoot(place, name, new)
        }
    }

    private func promoteRoot(_ place: DatabasePlace, _ name: String, _ new: SharedSecret) async throws -> UInt64 {
        let generation = try await commit([
            .put(place.password(name), new, expect: .any), .delete(place.pendingRoot(name), expect: .any),
        ])
        return generation
    }

    /// A rotation of the administrator's password that was interrupted: finds out which password is in force.
    private func settleRoot(_ place: DatabasePlace, _ name: String) async throws {
        guard let pending = try barrier.get(place.pendingRoot(name))?.value else { return }
        let (target, old) = try administrator(of: place, name)
        let account = place.connectionID(name)
        if await worksAs(target.administrator, pending, target, account) {
            _ = try await promoteRoot(place, name, pending)
        } else if await worksAs(target.administrator, old, target, account) {
            _ = try await commit([.delete(place.pendingRoot(name), expect: .any)])
        } else {
            throw VaultError(
                .upstream,
                "whether the administrator's password was changed is unsure: neither the old nor the new one works now"
            )
        }
    }

    /// Settles what a restart interrupted. Called when the vault opens.
    func settleRoots() async {
        guard let state = unsealed else { return }
        for mount in state.mounts.secrets where mount.type == .database {
            let place = DatabasePlace(mount: mount)
            let names = (try? barrier.names(in: .database, parent: place.parent("root-pending"))) ?? []
            for name in names.map({ String(decoding: $0, as: UTF8.self) }) {
                do {
                    try await state.locks.withLock(Array("database/\(place.connectionID(name))".utf8)) {
                        try await settleRoot(place, name)
                    }
                } catch {
                    journal(
                        true,
                        "an interrupted rotation of an administrator's password is not settled yet: try rotate-root again",
                        ["config": name, "reason": VaultError(mapping: error).message]
                    )
                }
            }
        }
    }
}

extension SharedSecret {
    /// As a JSON string with quotes; generated passwords may hold characters that JSON escapes.
    var asJSONText: SharedSecret {
        withBytes { bytes in
            let isPlain = bytes.allSatisfy { $0 >= 0x20 && $0 != 0x22 && $0 != 0x5c }
            let count = bytes.count + 2 + (isPlain ? 0 : bytes.filter { $0 == 0x22 || $0 == 0x5c }.count)
            return SharedSecret(
                SecretBytes(count: count) { target in
                    target[0] = 0x22
                    var position = 1
                    for byte in bytes {
                        if byte == 0x22 || byte == 0x5c {
                            target[position] = 0x5c
                            position += 1
                        }
                        target[position] = byte
                        position += 1
                    }
                    target[count - 1] = 0x22
                }
            )
        }
    }
}
