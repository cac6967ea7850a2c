internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// Routes that work while sealed. All but `GET sys/init` are for operators, by the uid of their process.
    func operatorEndpoint(_ context: RequestContext) throws -> Endpoint? {
        var what = AuditWhat()
        what.path = context.pathText
        switch (context.pathText, context.verb) {
        case ("sys/init", .get):
            return .read(.sysRead, what, .anyone) { vault, _ in
                Effect(.raw(["initialized": .bool(vault.sealStore.isInitialized)]))
            }
        case ("sys/init", .write):
            return .change(.initialise, what, .anyone) { vault, context in try await vault.initialize(context) }
        case ("sys/unseal", .write):
            return .change(.unseal, what, .anyone) { vault, context in try await vault.submitShare(context) }
        case ("sys/restore/confirm", .write):
            return .change(.restoreConfirm, what, .anyone) { vault, context in try await vault.confirmRestore(context) }
        case ("sys/restore/status", .get):
            return .inquiry(.sysRead, what, .anyone) { vault, context in try await vault.restoreStatus(context) }
        default: return rekeyEndpoint(context) ?? generateRootEndpoint(context)
        }
    }

    // MARK: init

    private struct InitRequest: Sendable {
        let shares: Int
        let threshold: Int

        init(_ body: JSONView?, isCredential: Bool) throws(VaultError) {
            let kind = isCredential ? "recovery" : "secret"
            let other = isCredential ? "secret" : "recovery"
            if let given = body?["\(other)_shares"]?.weakInteger, given > 0,
                body?["\(kind)_shares"]?.weakInteger ?? 0 > 0
            {
                throw .badRequest("this seal type takes \(kind)_shares and \(kind)_threshold only")
            }
            // bao sends its own defaults in the secret_ fields whatever the seal type.
            let shares =
                body?["\(kind)_shares"]?.weakInteger.flatMap { $0 > 0 ? $0 : nil }
                ?? body?["\(other)_shares"]?.weakInteger
            let threshold =
                body?["\(kind)_threshold"]?.weakInteger.flatMap { $0 > 0 ? $0 : nil }
                ?? body?["\(other)_threshold"]?.weakInteger
            for field in ["pgp_keys", "root_token_pgp_key", "recovery_pgp_keys"] {
                if let value = body?[field], !(value.isArray && value.elements.isEmpty), value.string != "" {
                    throw .badRequest("\(field) is not available: keys are shown once, in clear, to the operator")
                }
            }
            self.shares = Int(clamping: shares ?? 5)
            self.threshold = Int(clamping: threshold ?? 3)
            guard (1...255).contains(self.shares), (1...self.shares).contains(self.threshold),
                self.threshold > 1 || self.shares == 1
            else {
                throw .badRequest("shares are 1 to 255, the threshold 2 to shares (or 1 of 1)")
            }
        }
    }

    private func initialize(_ context: RequestContext) async throws -> Effect {
        guard !sealStore.isInitialized else { throw VaultError.badRequest("Vault is already initialized") }
        var credential: SharedSecret?
        if case .credential(let key) = configuration.seal { credential = key }
        let wanted = try withBody(context) { try InitRequest($0, isCredential: credential != nil) }
        let (rows, token) = try firstRows(context)
        let shares = try await sealStore.initialize(
            shares: wanted.shares,
            threshold: wanted.threshold,
            credential: credential,
            firstRows: rows
        )
        var body = ResponseBody()
        let prefix = credential == nil ? "" : "recovery_"
        body.append(text: "{\"\(prefix)keys\":")
        body.append(list: shares.map { share in share.withSecret { SharedSecret(Hex.encodeSecret($0)) } })
        body.append(text: ",\"\(prefix)keys_base64\":")
        body.append(list: shares.map { share in share.withSecret { SharedSecret(Base64.encodeSecret($0)) } })
        if credential != nil { body.append(text: #","keys":[],"keys_base64":[]"#) }
        body.append(text: #","root_token":"#)
        body.append(quotedSecret: token)
        body.append(text: "}")
        let generation = barrier.generation
        if credential == nil { barrier.seal() } else { try opened() }
        return Effect(.raw(body), generation: generation)
    }

    /// The token key, the mount table, the default policy and the root token.
    fileprivate func firstRows(_ context: RequestContext) throws -> ([BarrierMutation], SharedSecret) {
        let tokenKey = SecretBytes.randomKey(count: 32)
        let token = Random.secretBase62(24, prefix: "s.")
        let hash = token.withBytes { HMACKey(tokenKey).authenticate($0) }
        let root = TokenEntry.root(hash: hash, created: context.now)
        let defaultPolicy = try parsePolicy("default", Policy.defaultText, version: 1)
        var mutations: [BarrierMutation] = [
            .put(.tokenKey, SharedSecret(tokenKey), expect: .absent),
            .put(.policy("default"), encodePolicy(defaultPolicy), expect: .absent),
            .put(
                .expiryCursor,
                SharedSecret(copying: Array(String(context.now.seconds / 60 - 1).utf8)),
                expect: .absent
            ),
        ]
        mutations += historyChanges(defaultPolicy, replacing: nil, context.now)
        mutations.append(Self.termMark(at: context.now))
        for mount in MountTable.initial() { mutations.append(.put(.mount(mount.path), mount.encoded, expect: .absent)) }
        mutations.append(contentsOf: storing(root))
        return (mutations, token)
    }

    // MARK: unseal

    private func submitShare(_ context: RequestContext) async throws -> Effect {
        guard let status = sealStore.status else { throw VaultError.badRequest("Vault is not initialized") }
        let (isReset, share) = try withBody(context) { body -> (Bool, SharedSecret?) in
            if body?["reset"]?.weakBool ?? false { return (true, nil) }
            if body?["migrate"]?.weakBool ?? false { throw VaultError.badRequest("there is no seal migration") }
            guard let key = body?["key"], let count = key.stringCount, (2...4096).contains(count) else {
                throw VaultError.badRequest("'key' must be specified, in hex or base64, or 'reset' set to true")
            }
            let text = SharedSecret(SecretBytes(count: count) { key.decodeString(into: $0) })
            return (false, try Self.decodeShare(text))
        }
        if isReset {
            unsealProgress = nil
            return Effect(.raw(sealStatus))
        }
        guard unsealed == nil, let share else { return Effect(.raw(sealStatus)) }
        var progress = unsealProgress ?? UnsealProgress(threshold: status.threshold)
        switch progress.submit(share) {
        case .progress:
            unsealProgress = progress
            return Effect(.raw(sealStatus))
        case .complete(let key):
            unsealProgress = nil
            do {
                try sealStore.unseal(combined: key)
                try opened()
            } catch {
                barrier.seal()
                if let damage = error as? VaultError, damage.code == .storageCorrupt { throw damage }
                throw VaultError(
                    .badRequest,
                    "these shares do not open the vault: the count starts again",
                    cause: error
                )
            }
            return Effect(.raw(sealStatus), generation: barrier.generation)
        case .invalid(let reason): throw VaultError.badRequest(reason)
        }
    }

    static func decodeShare(_ text: SharedSecret) throws -> SharedSecret {
        try text.withBytes { bytes in
            if let decoded = Hex.decodeSecret(bytes) { return SharedSecret(decoded) }
            if let decoded = Base64.decodeSecret(bytes) { return SharedSecret(decoded) }
            throw VaultError.badRequest("'key' must be a valid hex or base64 string")
        }
    }

    /// Opens the vault with the key that came as a systemd credential. Called at start.
    /// - Throws: ``VaultError`` when the credential does not belong to this vault: recovery shares open it then.
    package func unsealWithCredential() async throws {
        guard case .credential(let key) = configuration.seal, sealStore.isInitialized, unsealed == nil else { return }
        let start = clock.monotonic()
        func record(_ phase: AuditDraft.Phase, _ outcome: AuditDraft.Outcome, _ references: [UInt64]) -> AuditDraft {
            AuditDraft(
                outcome == .granted ? .unseal : .unsealFail,
                phase: phase,
                outcome: outcome,
                error: outcome == .granted ? nil : "credential",
                correlation: Random.base62(16),
                references: references,
                generation: phase == .outcome ? barrier.generation : nil,
                acceptedAt: start,
                who: AuditWho.system
            )
        }
        let intent = try await appendRecord(record(.intent, .granted, []))
        do {
            try sealStore.unseal(credential: key)
            try opened()
        } catch {
            barrier.seal()
            _ = try await appendRecord(record(.outcome, .error, [intent.index]))
            if let damage = error as? VaultError, damage.code == .storageCorrupt { throw damage }
            throw VaultError(
                .badRequest,
                "the credential does not open this vault: restore it, or unseal with the recovery shares",
                cause: error
            )
        }
        _ = try await appendRecord(record(.outcome, .granted, [intent.index]))
    }

    /// The barrier is open: reads what stays in memory and finishes what a crash interrupted.
    fileprivate func opened() throws {
        guard let keyRow = try barrier.get(.tokenKey) else {
            throw VaultError(.storageCorrupt, "the token key is missing from the storage")
        }
        let key = keyRow.value.withSecret { HMACKey($0) }
        let roles = try barrier.entries(in: .peerRole, parent: [], limit: 100_000).map { name, entry in
            try entry.value.withBytes { bytes in
                try PeerRole(
                    name: String(decoding: name, as: UTF8.self),
                    JSONView(bytes),
                    maximumTTL: configuration.maximumTokenTTL,
                    groupID: configuration.groupID
                )
            }
        }
        let batchKey: AESGCM
        do throws(CryptoError) {
            batchKey = try keyRow.value.withSecret { key throws(CryptoError) in
                try AESGCM(key: KeyDerivation.subkey(from: key, context: "coffre batch tokens 1"))
            }
        } catch {
            throw VaultError(.internalError, "internal error", cause: error)
        }
        let mounts = try barrier.entries(in: .mount, parent: [], limit: 1000).map { name, entry in
            try Mount(path: String(decoding: name, as: UTF8.self), decoding: entry.value)
        }
        let hold = try findHold()
        let connections = try loadConnections()
        let state = UnsealedState(
            tokenKey: key,
            batchKey: batchKey,
            mounts: MountTable(mounts),
            identity: try loadIdentity(),
            connections: connections,
            grants: try loadGrants(connections),
            policies: try loadPolicies(),
            policyHistory: try loadPolicyHistory(),
            peerRoles: Dictionary(uniqueKeysWithValues: roles.map { ($0.name, $0) })
        )
        for (name, entry) in try barrier.entries(in: .mount, parent: BarrierKey.removedMounts, limit: 1000) {
            let id = String(decoding: name, as: UTF8.self)
            state.removedMounts[id] = try Mount(decoding: entry.value)
        }
        try loadDecoys(state)
        let cursor = try barrier.get(.expiryCursor)?.value.withBytes { Int64(String(decoding: $0, as: UTF8.self)) }
        state.storedCursor = (cursor ?? nil) ?? clock.now().seconds / 60 - 1
        state.leases.loadedThrough = state.storedCursor - 1
        state.nextScrub = clock.now().seconds + 60
        state.nextReconciliation = clock.now().seconds + 5
        unsealed = state
        sealEpoch &+= 1
        unsealProgress = nil
        state.hold = hold
        holdReason = hold?.reason
        if let holdReason {
            journal(true, "hold mode: an older copy of the database was put back", ["reason": holdReason])
        } else {
            try finishInterrupted()
        }
        tick()
    }

    private func loadConnections() throws -> ConnectionTable {
        let rows = try barrier.entries(
            in: .connection,
            parent: ConnectionKey.records,
            limit: .max
        )
        return ConnectionTable(
            try rows.map { id, entry in try Connection(id: String(decoding: id, as: UTF8.self), decoding: entry.value) }
        )
    }

    private func loadIdentity() throws -> IdentityTable {
        let entities = try barrier.entries(in: .identity, parent: IdentityEntity.parent, limit: .max).map {
            name,
            entry in
            try IdentityEntity(id: String(decoding: name, as: UTF8.self), decoding: entry.value)
        }
        let groups = try barrier.entries(in: .identity, parent: IdentityGroup.parent, limit: .max).map { name, entry in
            try IdentityGroup(id: String(decoding: name, as: UTF8.self), decoding: entry.value)
        }
        return IdentityTable(entities: entities, groups: groups)
    }

    /// Leases that a crash left half-made or half-revoked are revoked now.
    func finishInterrupted() throws {
        for name in try barrier.names(in: .lease, parent: BarrierKey.unfinishedLeases) {
            revokeInBackground(String(decoding: name, as: UTF8.self))
        }
        Task {
            await self.collectJobs()
            await self.collectGrantAnswers()
            await self.settleRoots()
        }
    }

    // MARK: seal

    /// Forgets every key. Answers that wait for their record are not released any more.
    package func sealNow() {
        sealEpoch &+= 1
        unsealed = nil
        unsealProgress = nil
        holdReason = nil
        rekey = nil
        rootAttempt = nil
        barrier.seal()
    }
}

extension ResponseBody {
    mutating func append(list: [SharedSecret]) {
        append(text: "[")
        for (index, secret) in list.enumerated() {
            if index > 0 { append(text: ",") }
            append(quotedSecret: secret)
        }
        append(text: "]")
    }
}

extension Vault {
    /// Makes and opens a vault of one share, for `--dev`.
    /// - Returns: the root token, which is shown: such a vault protects nothing.
    /// - Throws: ``VaultError``.
    package func initializeForDevelopment() async throws -> String {
        let start = clock.monotonic()
        let request = VaultRequest(verb: .write, path: Array("sys/init".utf8), acceptedAt: start)
        let principal = Principal(pid: 0, uid: 0, gid: 0, groups: [], unit: nil, isUnitPinned: false)
        let context = RequestContext(request, principal: principal, now: clock.now())
        let (rows, token) = try firstRows(context)
        _ = try await sealStore.initialize(shares: 1, threshold: 1, credential: nil, firstRows: rows)
        try opened()
        _ = try await appendRecord(
            AuditDraft(
                .initialise,
                outcome: .granted,
                correlation: context.correlation,
                generation: barrier.generation,
                acceptedAt: start,
                who: AuditWho.system
            )
        )
        return token.withBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// The daemon stops: forgets the keys.
    package func shutDown() { sealNow() }
}
