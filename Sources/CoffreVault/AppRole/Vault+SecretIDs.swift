internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    private static let maximumSecretIDs = 100_000

    /// `role/<name>/secret-id…`, `custom-secret-id`, `secret-id-accessor/…`.
    func secretIDEndpoint(
        _ context: RequestContext,
        _ place: AppRolePlace,
        _ name: String,
        _ action: String,
        _ what: AuditWhat
    ) throws -> Endpoint? {
        let role = try appRole(place, name)
        switch (action, context.verb) {
        case ("secret-id", .list):
            return .read(.sysRead, what, .capability(.list)) { vault, _ in
                guard role != nil else { throw VaultError(.notFound, "role \"\(name)\" does not exist") }
                return try vault.listing(.identity, place.parent("accessor/" + name))
            }
        case ("secret-id", .write), ("custom-secret-id", .write):
            let isCustom = action == "custom-secret-id"
            return .change(.authChange, what, .capability(.update)) { vault, context in
                try await vault.makeSecretID(place, name, isCustom: isCustom, what, context)
            }
        case ("secret-id/lookup", .write), ("secret-id-accessor/lookup", .write):
            let byAccessor = action.hasPrefix("secret-id-accessor")
            return .read(.sysRead, what, .capability(.update)) { vault, context in
                guard role != nil else { throw VaultError.badRequest("role \"\(name)\" does not exist") }
                guard let (_, secret) = try vault.namedSecretID(place, name, byAccessor: byAccessor, context) else {
                    if byAccessor {
                        throw VaultError(.notFound, "failed to find accessor entry for secret_id_accessor")
                    }
                    return Effect(.noContent)
                }
                return Effect(.data(secret.shown))
            }
        case ("secret-id/destroy", .write), ("secret-id-accessor/destroy", .write), ("secret-id/destroy", .delete),
            ("secret-id-accessor/destroy", .delete):
            let byAccessor = action.hasPrefix("secret-id-accessor")
            let capability: Capability = context.verb == .delete ? .delete : .update
            return .change(.authChange, what, .capability(capability)) { vault, context in
                guard let (hash, secret) = try vault.namedSecretID(place, name, byAccessor: byAccessor, context) else {
                    if byAccessor {
                        throw VaultError(.notFound, "failed to find accessor entry for secret_id_accessor")
                    }
                    return Effect(.noContent)
                }
                let generation = try await vault.commit(vault.removing(secret, hash, place, name))
                return Effect(.noContent, generation: generation)
            }
        case ("secret-id", _), ("custom-secret-id", _): return .unsupported(what)
        default: return nil
        }
    }

    private func removing(_ secret: SecretID, _ hash: Digest, _ place: AppRolePlace, _ role: String)
        -> [BarrierMutation]
    {
        [.delete(place.secret(role, hash), expect: .any), .delete(place.accessor(role, secret.accessor), expect: .any)]
    }

    private func makeSecretID(
        _ place: AppRolePlace,
        _ name: String,
        isCustom: Bool,
        _ what: AuditWhat,
        _ context: RequestContext
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("approle/\(place.mount.id)".utf8)) {
            guard let role = try appRole(place, name) else {
                throw VaultError(.notFound, "role \"\(name)\" does not exist")
            }
            guard role.bindsSecretID else { throw VaultError.badRequest("bind_secret_id is not set on the role") }
            let (text, secret) = try withBody(context) { body in
                try Self.readSecretID(body, role, isCustom: isCustom, context.now)
            }
            let parent = place.parent("accessor/" + name)
            guard try barrier.names(in: .identity, parent: parent).count < Self.maximumSecretIDs else {
                throw VaultError.badRequest("the role has \(Self.maximumSecretIDs) secret ids: destroy some, or tidy")
            }
            let hash = text.withBytes { state.tokenKey.authenticate($0) }
            guard try barrier.get(place.secret(name, hash)) == nil else {
                throw VaultError.badRequest("SecretID is already registered")
            }
            let generation = try await commit([
                .put(place.secret(name, hash), secret.encoded, expect: .absent),
                .put(place.accessor(name, secret.accessor), SharedSecret(copying: hash.bytes), expect: .absent),
            ])
            var body = ResponseBody()
            body.append(text: #"{"secret_id":"#)
            if isCustom {
                body.append(SharedSecret(SecretBytes(count: text.count + 2) { Self.quote(text, into: $0) }))
            } else {
                body.append(quotedSecret: text)
            }
            let ttl = secret.expires.map { $0.seconds - secret.created.seconds } ?? 0
            let rest: JSONValue = [
                "secret_id_accessor": .string(secret.accessor), "secret_id_num_uses": .integer(secret.usesLeft),
                "secret_id_ttl": .integer(ttl),
            ]
            body.append([0x2c] + Array(rest.encoded().dropFirst()))
            var what = what
            what.details = [("secret_id_accessor", .text(secret.accessor))]
            var reply = Reply.data(body)
            reply.wrappedAccessor = secret.accessor
            return Effect(reply, generation: generation, what: what)
        }
    }

    private static func quote(_ text: SharedSecret, into target: UnsafeMutableRawBufferPointer) {
        target[0] = 0x22
        text.withBytes { UnsafeMutableRawBufferPointer(rebasing: target[1...]).copyMemory(from: $0) }
        target[target.count - 1] = 0x22
    }

    private static func readSecretID(_ body: JSONView?, _ role: AppRole, isCustom: Bool, _ now: Timestamp)
        throws -> (SharedSecret, SecretID)
    {
        var ttl = role.secretIDTTL
        if let value = body?["ttl"] {
            guard let wanted = GoDuration.seconds(value) else { throw VaultError.badRequest("ttl is not a duration") }
            if role.secretIDTTL > 0, wanted == 0 || wanted > role.secretIDTTL {
                throw VaultError.badRequest("ttl cannot be longer than the role's secret_id_ttl")
            }
            ttl = wanted
        }
        var uses = role.secretIDUses
        if let value = body?["num_uses"] {
            guard let wanted = value.weakInteger, (0...1_000_000_000).contains(wanted) else {
                throw VaultError.badRequest("num_uses cannot be negative")
            }
            if role.secretIDUses > 0, wanted == 0 || wanted > role.secretIDUses {
                throw VaultError.badRequest("num_uses cannot be higher than the role's secret_id_num_uses")
            }
            uses = wanted
        }
        for field in ["cidr_list", "token_bound_cidrs"] {
            if let value = body?[field], value.stringList != [] {
                throw VaultError.badRequest("\(field) has no meaning on a Unix socket: use bind_to_peer on the role")
            }
        }
        var metadata: [String: String] = [:]
        if let value = body?["metadata"] {
            // Clients send an object, or the text of one.
            if value.isObject {
                metadata = try metadataTexts(value)
            } else if let text = value.string, !text.isEmpty {
                metadata = try Array(text.utf8).withUnsafeBytes { try metadataTexts(try JSONView($0)) }
            }
        }
        let text: SharedSecret
        if isCustom {
            guard let field = body?["secret_id"], let count = field.stringCount, (1...512).contains(count),
                field.raw.count == count + 2
            else {
                throw VaultError.badRequest(
                    "secret_id is a text of 1 to 512 bytes without characters that JSON escapes"
                )
            }
            text = SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) })
        } else {
            text = Random.secretBase62(36)
        }
        return (
            text,
            SecretID(
                accessor: RequestContext.newUUID(),
                created: now,
                expires: ttl > 0 ? now.adding(seconds: ttl) : nil,
                uses: uses,
                metadata: metadata
            )
        )
    }

    private static func metadataTexts(_ value: JSONView) throws -> [String: String] {
        guard value.isObject else { throw VaultError.badRequest("metadata is an object of texts") }
        return try metadata(value)
    }

    private func namedSecretID(
        _ place: AppRolePlace,
        _ role: String,
        byAccessor: Bool,
        _ context: RequestContext
    ) throws -> (Digest, SecretID)? {
        guard let state = unsealed else { throw VaultError.sealed }
        let hash: Digest? = try withBody(context) { body in
            if byAccessor {
                guard let accessor = body?["secret_id_accessor"]?.string, !accessor.isEmpty else {
                    throw VaultError.badRequest("missing secret_id_accessor")
                }
                return try barrier.get(place.accessor(role, accessor))?.value.withBytes { Digest(Array($0)) }
            }
            guard let field = body?["secret_id"], let count = field.stringCount, (1...512).contains(count) else {
                throw VaultError.badRequest("missing secret_id")
            }
            return SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) })
                .withBytes { state.tokenKey.authenticate($0) }
        }
        guard let hash, let row = try barrier.get(place.secret(role, hash)) else { return nil }
        return (hash, try SecretID(decoding: row.value))
    }

    // MARK: login

    /// `auth/<mount>/login`. Credentials are looked at before anything is recorded as a change, so that guesses cost what
    /// any refused request costs.
    func appRoleLogin(_ context: RequestContext, _ mount: Mount) throws -> Endpoint {
        let place = AppRolePlace(mount: mount)
        let what = AuditWhat(path: mount.path + "login")
        guard context.verb == .write else {
            return .read(.requestUnmatched, what, .anyone) { _, _ in throw VaultError.unsupportedOperation }
        }
        do {
            _ = try checkLogin(place, context)
        } catch {
            return .read(.authFail, what, .anyone) { _, _ in throw error }
        }
        return .change(.authOk, what, .anyone) { vault, context in try await vault.logIn(place, context) }
    }

    private typealias Login = (role: AppRole, secret: (hash: Digest, id: SecretID)?)

    private func checkLogin(_ place: AppRolePlace, _ context: RequestContext) throws -> Login {
        guard let state = unsealed else { throw VaultError.sealed }
        let (roleID, given): (String, SharedSecret?) = try withBody(context) { body in
            guard let id = body?["role_id"]?.string, !id.isEmpty else { throw VaultError.badRequest("missing role_id") }
            guard let field = body?["secret_id"], let count = field.stringCount, count > 0 else { return (id, nil) }
            guard count <= 512 else { throw Self.badLogin }
            return (id, SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) }))
        }
        guard roleID.utf8.count <= 4096, let row = try barrier.get(place.roleID(roleID)),
            let role = try appRole(place, row.value.withBytes { String(decoding: $0, as: UTF8.self) })
        else { throw Self.badLogin }
        guard role.bindsSecretID else { return (role, nil) }
        guard let given else { throw VaultError.badRequest("missing secret_id") }
        let hash = given.withBytes { state.tokenKey.authenticate($0) }
        guard let stored = try barrier.get(place.secret(role.name, hash)) else { throw Self.badLogin }
        let secret = try SecretID(decoding: stored.value)
        guard !secret.isExpired(at: context.now) else { throw Self.badLogin }
        return (role, (hash, secret))
    }

    private static let badLogin = VaultError.badRequest("invalid role or secret ID")

    private func logIn(_ place: AppRolePlace, _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        // A counted secret id is used by one login after the other.
        let (role, secret) = try await state.locks.withLock(Array("approle/\(place.mount.id)".utf8)) {
            let login = try checkLogin(place, context)
            guard let (hash, found) = login.secret, found.usesLeft > 0 else { return login }
            var secret = found
            if secret.usesLeft == 1 {
                _ = try await commit(removing(secret, hash, place, login.role.name))
            } else {
                secret.usesLeft -= 1
                _ = try await commit([.put(place.secret(login.role.name, hash), secret.encoded, expect: .any)])
            }
            return (login.role, (hash, secret))
        }
        let entity = try await entityAtLogin(alias: role.roleID, mount: place.mount, metadata: [:], context)
        var wanted = TokenRequest()
        wanted.policies = role.policies + (role.isWithoutDefault ? [] : ["default"])
        wanted.ttl = role.tokenTTL
        wanted.maximumTTL = role.tokenMaximumTTL
        wanted.explicitMaximumTTL = role.tokenExplicitMaximumTTL
        wanted.period = role.tokenPeriod
        wanted.uses = role.tokenUses
        wanted.displayName = String(place.mount.shownPath.dropLast())
        wanted.meta = (secret?.id.metadata ?? [:]).merging(["role_name": role.name]) { _, own in own }
        wanted.isOrphan = true
        wanted.entityID = entity.id
        let type = role.tokenType == "default" ? place.mount.tuning.tokenType : role.tokenType
        wanted.isBatch = type == "batch" || type == "default-batch"
        return try await issueToken(
            wanted,
            context,
            path: place.mount.path + "login",
            binding: role.bindsToPeer ? (context.principal.uid, context.principal.unit) : nil
        )
    }

    // MARK: tidying

    /// Removes secret ids whose time is over.
    func tidySecretIDs(of mount: Mount, _ now: Timestamp) async throws -> UInt64? {
        let place = AppRolePlace(mount: mount)
        var generation: UInt64?
        for name in try barrier.names(in: .identity, parent: place.parent("role")) {
            let role = String(decoding: name, as: UTF8.self)
            var mutations: [BarrierMutation] = []
            let parent = place.parent("secret/" + role)
            for (hash, entry) in try barrier.entries(in: .identity, parent: parent, limit: Self.maximumSecretIDs) {
                guard let hash = Digest(hash) else { continue }
                let secret = try SecretID(decoding: entry.value)
                if secret.isExpired(at: now) { mutations += removing(secret, hash, place, role) }
            }
            if !mutations.isEmpty { generation = try await commit(mutations) }
        }
        return generation
    }
}
