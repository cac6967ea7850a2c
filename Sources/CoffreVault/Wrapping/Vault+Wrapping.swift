internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Response wrapping: an answer waits behind a token that opens it once.
extension Vault {
    /// How long the trace of an opened token stays at least, in seconds, so that a second reader is noticed.
    private static let trace: Int64 = 86_400

    /// Seconds of `X-Vault-Wrap-TTL`, 0 when it is absent.
    /// - Throws: ``VaultError`` `.badRequest`.
    static func wrapTTL(_ header: String?) throws(VaultError) -> Int64 {
        guard let header, !header.isEmpty else { return 0 }
        guard let seconds = GoDuration.seconds(header) else {
            throw .badRequest("X-Vault-Wrap-TTL is no duration: seconds, or a text such as 5m")
        }
        return min(seconds, longestWrap)
    }

    /// Nobody's answer waits longer than a token lives: 768 h.
    private static let longestWrap: Int64 = 2_764_800

    /// Puts the answer of `effect` behind a new token. Failures and empty answers go out as they are.
    func wrap(_ effect: Effect, _ context: RequestContext) async throws -> Effect {
        guard effect.failure == nil, effect.reply.isWrappable else { return effect }
        let draft = effect.reply.draft(requestID: context.requestID)
        return try await storeWrapped(
            draft.body.joined(),
            WrapRecord(
                created: context.now,
                ttl: context.wrapTTL,
                path: context.pathText,
                status: draft.status,
                wrappedAccessor: effect.reply.wrappedAccessor
            ),
            effect
        )
    }

    private func storeWrapped(
        _ body: SharedSecret,
        _ record: WrapRecord,
        _ effect: Effect,
        replacing old: (hash: Digest, record: WrapRecord, version: UInt64)? = nil
    ) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let token = Random.secretBase62(24, prefix: "s.")
        let hash = token.withBytes { state.tokenKey.authenticate($0) }
        let item = LeaseSchedule.Item.wrap(hash)
        var mutations: [BarrierMutation] = [
            .put(.wrap(hash), record.encoded, expect: .absent), .put(.wrapped(hash), body, expect: .absent),
            .put(item.key(at: record.expires), LeaseSchedule.marker, expect: .any),
        ]
        if let old { mutations = opening(old.hash, old.record, old.version, at: clock.now()) + mutations }
        var effect = effect
        effect.generation = try await commit(mutations)
        state.leases.schedule(item, at: record.expires)
        effect.reply = .wrapped(record, token: token)
        var what = effect.what ?? AuditWhat(path: record.path)
        if let old { what.details.append(("replaced_wrap_accessor", .text(old.record.accessor))) }
        what.details += [("wrap_accessor", .text(record.accessor)), ("wrap_ttl", .int(record.ttl))]
        effect.what = what
        return effect
    }

    /// The rows of opening a token: the answer goes, a trace stays. Exactly one reader finds the version that it expects.
    func opening(_ hash: Digest, _ record: WrapRecord, _ version: UInt64, at now: Timestamp)
        -> [BarrierMutation]
    {
        var opened = record
        opened.opened = now
        let end = max(record.expires, now.adding(seconds: Self.trace))
        return [
            .put(.wrap(hash), opened.encoded, expect: .version(version)), .delete(.wrapped(hash), expect: .any),
            .put(LeaseSchedule.Item.wrap(hash).key(at: end), LeaseSchedule.marker, expect: .any),
        ]
    }

    // MARK: routes

    /// `sys/wrapping/wrap|unwrap|lookup|rewrap`.
    func wrappingEndpoint(_ context: RequestContext, _ action: String, _ state: UnsealedState) throws -> Endpoint? {
        let what = AuditWhat(path: "sys/wrapping/" + action)
        guard ["wrap", "unwrap", "lookup", "rewrap"].contains(action) else { return nil }
        guard context.verb == .write || (action == "lookup" && context.verb == .get) else { return .unsupported(what) }
        if action == "wrap" {
            return .read(.wrap, what, .capability(.update)) { vault, context in
                guard context.wrapTTL > 0 else {
                    throw VaultError.badRequest("endpoint requires response wrapping to be used")
                }
                let data = try vault.withBody(context) { body in
                    body.map { SharedSecret(copying: $0.raw) } ?? SharedSecret(copying: Array("{}".utf8))
                }
                var body = ResponseBody()
                body.append(data)
                return Effect(.data(body))
            }
        }
        let (token, isOwn) = try wrappingToken(context)
        let hash = token.withBytes { state.tokenKey.authenticate($0) }
        // Who sends the token itself needs no other right; who sends somebody's needs the right on the path.
        let access: Endpoint.Access = isOwn || action == "lookup" ? .anyone : .capability(.update)
        guard let row = try barrier.get(.wrap(hash)) else { throw Self.invalidToken }
        let record = try WrapRecord(decoding: row.value)
        var facts = what
        facts.details = [("wrap_accessor", .text(record.accessor))]
        if let opened = record.opened {
            return .read(.wrapReplay, facts, access) { vault, context in
                vault.reportReplay(record, opened, context)
                return Effect(.failure(Self.invalidToken), failure: "wrap_replay")
            }
        }
        guard record.expires > context.now else { throw Self.invalidToken }
        if action == "lookup" {
            return .read(.sysRead, facts, access) { _, _ in
                Effect(
                    .data([
                        "creation_path": .string(record.path), "creation_time": .string(record.created.rfc3339),
                        "creation_ttl": .integer(record.ttl),
                    ])
                )
            }
        }
        let details = facts
        if let accessor = record.approval {
            guard action == "unwrap" else { return .unsupported(facts) }
            return approvedEndpoint(accessor, hash, row.version, record, facts, access)
        }
        return .change(action == "unwrap" ? .unwrap : .wrap, facts, access) { vault, context in
            try await vault.open(hash, rewraps: action == "rewrap", details, context)
        }
    }

    private static let invalidToken = VaultError.badRequest("wrapping token is not valid or does not exist")

    /// The wrapping token of a request: in the body, or else the client token.
    private func wrappingToken(_ context: RequestContext) throws -> (SharedSecret, isOwn: Bool) {
        let given: SharedSecret? = try withBody(context) { body in
            guard let field = body?["token"], let count = field.stringCount, count > 0 else { return nil }
            guard count <= 512 else { throw Self.invalidToken }
            return SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) })
        }
        if let given {
            let isOwn = context.request.token.map { own in
                own.withBytes { own in given.withBytes { Memory.isEqual(own, $0) } }
            }
            return (given, isOwn ?? false)
        }
        guard let own = context.request.token, (1...512).contains(own.count) else {
            throw VaultError.badRequest("missing \"token\" value in input and token is not a wrapping token")
        }
        return (own, true)
    }

    /// Opens a token: durable before anything leaves, and once only, also for two readers at the same moment.
    private func open(_ hash: Digest, rewraps: Bool, _ what: AuditWhat, _ context: RequestContext) async throws
        -> Effect
    {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("wrap/".utf8) + hash.bytes) {
            guard let row = try barrier.get(.wrap(hash)) else { throw Self.invalidToken }
            let record = try WrapRecord(decoding: row.value)
            if let opened = record.opened {
                reportReplay(record, opened, context)
                var effect = Effect(.failure(Self.invalidToken), what: what, failure: "wrap_replay")
                effect.operation = .wrapReplay
                return effect
            }
            guard record.expires > context.now, let body = try barrier.get(.wrapped(hash))?.value else {
                throw Self.invalidToken
            }
            if rewraps {
                let again = WrapRecord(
                    created: context.now,
                    ttl: record.ttl,
                    path: record.path,
                    status: record.status,
                    wrappedAccessor: record.wrappedAccessor
                )
                return try await storeWrapped(
                    body,
                    again,
                    Effect(.noContent),
                    replacing: (hash, record, row.version)
                )
            }
            let generation = try await commit(opening(hash, record, row.version, at: clock.now()))
            var answer = ResponseBody()
            answer.append(body)
            return Effect(.raw(answer, status: record.status), generation: generation, what: what)
        }
    }

    /// Two readers of one token: either the intended one was too late, or somebody listens.
    private func reportReplay(_ record: WrapRecord, _ opened: Timestamp, _ context: RequestContext) {
        journal(
            true,
            "a wrapped answer was asked for a second time: whoever was first may not have been meant",
            ["accessor": record.accessor, "first": opened.rfc3339, "uid": "\(context.principal.uid)"]
        )
    }

    /// The time of a wrapping token is over, or of its trace.
    func expireWrapped(_ hash: Digest, _ now: Timestamp) {
        Task {
            guard let state = self.unsealed else { return }
            await state.locks.withLock(Array("wrap/".utf8) + hash.bytes) {
                do {
                    guard let row = try self.barrier.get(.wrap(hash)) else { return }
                    let record = try WrapRecord(decoding: row.value)
                    let end =
                        record.opened.map { max(record.expires, $0.adding(seconds: Self.trace)) } ?? record.expires
                    guard end <= now else {
                        state.leases.push(.wrap(hash), at: end)
                        return
                    }
                    _ = try await self.commit([
                        .delete(.wrap(hash), expect: .any), .delete(.wrapped(hash), expect: .any),
                        .delete(LeaseSchedule.Item.wrap(hash).key(at: end), expect: .any),
                        .delete(LeaseSchedule.Item.wrap(hash).key(at: record.expires), expect: .any),
                    ])
                } catch {
                    self.journal(true, "an expired wrapped answer cannot be removed yet", ["reason": "\(error)"])
                }
            }
        }
    }
}
