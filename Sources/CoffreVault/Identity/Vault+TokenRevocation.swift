internal import CoffreAudit
internal import CoffreCrypto

extension Vault {
    // MARK: limited uses

    /// Takes one use from the caller's token, durably; nil when its uses are not counted.
    /// - Throws: ``VaultError`` `.permissionDenied` when none is left.
    func consumeUse(of context: RequestContext) async throws -> TokenEntry? {
        guard context.usesLimitedToken, let hash = context.caller?.token?.hash, let state = unsealed else { return nil }
        return try await state.locks.withLock(Self.turn(of: hash)) {
            guard var entry = try tokenEntry(hash, state), entry.usesLeft > 0 else { throw VaultError.permissionDenied }
            entry.usesLeft = entry.usesLeft == 1 ? -1 : entry.usesLeft - 1
            _ = try await commit([.put(.token(hash), entry.encoded, expect: .any)])
            state.tokens[hash] = nil
            return entry
        }
    }

    /// The completion of a request; after the last use of a token it also ends the token.
    func ending(_ used: TokenEntry?, _ completion: @escaping @Sendable (ReleasedAnswer) -> Void)
        -> @Sendable (ReleasedAnswer) -> Void
    {
        guard let used, used.usesLeft < 0 else { return completion }
        return { [self] answer in
            completion(answer)
            Task {
                do {
                    _ = try await self.revoke(tokenTree: used.hash)
                } catch {
                    // Nobody can use it any more; its time will remove it.
                    self.journal(true, "a used-up token cannot be removed yet", ["accessor": used.accessor])
                }
            }
        }
    }

    // MARK: revocation

    /// Revokes a token, its children, and the leases of all of them.
    ///
    /// From the first step on the whole tree counts as gone. Children go before their parent, so that a crash on the way
    /// leaves no child without one, and whoever asks again finishes the rest.
    /// - Returns: the generation of the last change.
    func revoke(tokenTree root: Digest, keepsChildren: Bool = false) async throws -> UInt64 {
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
                .compactMap { Digest($0) }
            if keepsChildren {
                for child in children { try await makeOrphan(child, of: hash, state) }
            } else {
                queue.append(contentsOf: children)
            }
        }
        var generation = barrier.generation ?? 0
        for entry in tree.reversed() { generation = try await remove(entry, state) }
        return generation
    }

    private func makeOrphan(_ hash: Digest, of parent: Digest, _ state: UnsealedState) async throws {
        try await state.locks.withLock(Self.turn(of: hash)) {
            guard var child = try tokenEntry(hash, state) else { return }
            child.parent = nil
            child.isOrphan = true
            _ = try await commit([
                .put(.token(hash), child.encoded, expect: .any), .delete(.tokenChild(hash, of: parent), expect: .any),
            ])
            state.tokens[hash] = nil
            state.forgetCallers()
        }
    }

    /// Every token that was made at `folder` or below, each with its own records.
    func revokeTokens(issuedBelow folder: [UInt8]) async throws {
        let folder = Array(folder.last == 0x2f ? folder.dropLast() : folder[...])
        for path in try barrier.names(in: .token, parent: BarrierKey.issuingPaths)
        where path == folder || path.starts(with: folder + [0x2f]) {
            for name in try barrier.names(in: .token, parent: BarrierKey.issuedParent(path)) {
                guard let state = unsealed else { throw VaultError.sealed }
                guard let hash = Digest(name), let entry = try tokenEntry(hash, state) else { continue }
                var what = AuditWhat(path: String(decoding: path, as: UTF8.self))
                what.details = [("accessor", .text(entry.accessor))]
                try await recorded(.tokenRevoke, what) { _ = try await revoke(tokenTree: hash) }
            }
        }
    }

    private func remove(_ entry: TokenEntry, _ state: UnsealedState) async throws -> UInt64 {
        let owner = "token:" + Hex.encode(entry.hash.bytes)
        try await revokeLeases(ownedBy: owner)
        var mutations: [BarrierMutation] = [
            .delete(.token(entry.hash), expect: .any), .delete(.tokenAccessor(entry.accessor), expect: .any),
        ]
        mutations.append(.delete(.issuedToken(entry.hash, path: entry.path), expect: .any))
        mutations += try cubbyholeRows(of: entry.hash).map { .delete($0, expect: .any) }
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

    // MARK: tidying

    /// Removes what refers to tokens that no longer exist, and tokens whose time is over.
    func tidyTokens() async {
        do {
            guard let state = unsealed else { return }
            let now = clock.now()
            var (stale, expired) = (0, 0)
            for name in try barrier.names(in: .token, parent: BarrierKey.accessors) {
                let accessor = String(decoding: name, as: UTF8.self)
                guard let row = try barrier.get(.tokenAccessor(accessor)),
                    let hash = row.value.withBytes({ Digest(Array($0)) })
                else { continue }
                if let entry = try storedToken(hash, state) {
                    guard entry.isExpired(at: now) || entry.usesLeft < 0 else { continue }
                    _ = try await revoke(tokenTree: hash)
                    expired += 1
                } else {
                    _ = try await commit([.delete(.tokenAccessor(accessor), expect: .version(row.version))])
                    stale += 1
                }
            }
            for mount in state.mounts.auths where mount.type == .approle { _ = try await tidySecretIDs(of: mount, now) }
            journal(false, "tokens were tidied", ["expired": "\(expired)", "stale": "\(stale)"])
        } catch {
            journal(true, "tokens could not be tidied", ["reason": "\(error)"])
        }
    }
}
