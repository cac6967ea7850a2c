internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// What administrators do to many leases at once.
extension Vault {
    private static let batch = 500

    /// `sys/leases`, `sys/leases/lookup/<prefix>` (LIST), `revoke-prefix`, `revoke-force`, `tidy`; nil for anything else.
    func leasePrefixEndpoint(_ context: RequestContext, _ action: String, _ prefix: String?) -> Endpoint? {
        var what = AuditWhat(path: "sys/leases/" + action)
        switch (action, context.verb) {
        case ("lookup", .list):
            let prefix = prefix ?? ""
            what.details = [("prefix", .text(prefix))]
            return .read(.leaseLookup, what, .sudo(.list)) { vault, _ in
                Effect(.data(["keys": .strings(try vault.leaseNames(below: Array(prefix.utf8)))]))
            }
        case ("revoke-prefix", .write), ("revoke-force", .write):
            let prefix = prefix ?? ""
            what.details = [("prefix", .text(prefix))]
            let isForced = action == "revoke-force"
            return .change(.leaseRevoke, what, .sudo(.update)) { vault, context in
                guard !prefix.isEmpty else { throw VaultError.badRequest("a prefix is needed, such as database/creds") }
                let isSync = try vault.withBody(context) { $0?["sync"]?.weakBool ?? true }
                guard isSync || isForced else {
                    Task { try? await vault.revokeAll(below: prefix, isForced: false) }
                    return Effect(.bare(status: 202))
                }
                try await vault.revokeAll(below: prefix, isForced: isForced)
                return Effect(.noContent)
            }
        case ("tidy", .write):
            return .change(.leaseRevoke, what, .capability(.update)) { vault, _ in
                Task { await vault.tidyLeases() }
                var reply = Reply.empty(status: 202)
                reply.warnings = ["Tidy operation successfully started. What it finds is written to the journal."]
                return Effect(reply)
            }
        case ("revoke-prefix", _), ("revoke-force", _), ("tidy", _): return .unsupported(what)
        default: return nil
        }
    }

    /// `GET sys/leases?type=irrevocable`: what could not be taken back yet.
    func stuckLeasesEndpoint(_ context: RequestContext) -> Endpoint {
        let what = AuditWhat(path: "sys/leases")
        guard context.verb == .get || context.verb == .list else { return .unsupported(what, .list) }
        return .read(.leaseLookup, what, .sudo(context.verb == .list ? .list : .read)) { vault, context in
            guard (context.query("type") ?? "irrevocable") == "irrevocable" else {
                throw VaultError.badRequest("type is irrevocable; list all leases with LIST sys/leases/lookup/<prefix>")
            }
            let names = try vault.barrier.names(in: .lease, parent: BarrierKey.unfinishedLeases)
            var leases: [JSONValue] = []
            for name in names.prefix(10_000) {
                guard let lease = try vault.lease(String(decoding: name, as: UTF8.self)), lease.attempts > 0 else {
                    continue
                }
                leases.append([
                    "lease_id": .string(lease.id), "state": .string(lease.state.rawValue),
                    "attempts": .integer(lease.attempts), "expire_time": .string(lease.expires.rfc3339),
                    "error": "the target system has not confirmed the revocation; it is tried again",
                ])
            }
            return Effect(.data(["lease_count": .integer(leases.count), "leases": .array(leases)]))
        }
    }

    // MARK: names

    private func leaseNames(below prefix: [UInt8]) throws -> [String] {
        var folder = prefix[...]
        while folder.last == 0x2f { folder = folder.dropLast() }
        var names = try barrier.names(in: .lease, parent: BarrierKey.leaseFolder(folder))
            .map { String(decoding: $0, as: UTF8.self) }
        names += try tokenNames(below: Array(folder))
        guard !names.isEmpty else { throw VaultError.notFound }
        return names.sorted()
    }

    /// Tokens are listed like leases, by the path that made them; what is shown of one is a part of its keyed hash.
    private func tokenNames(below folder: [UInt8]) throws -> [String] {
        var names: Set<String> = []
        for path in try barrier.names(in: .token, parent: BarrierKey.issuingPaths) {
            guard try !barrier.entries(in: .token, parent: BarrierKey.issuedParent(path), limit: 1).isEmpty else {
                continue
            }
            if path == folder {
                for hash in try barrier.names(in: .token, parent: BarrierKey.issuedParent(path)) {
                    names.insert("h" + Hex.encode(Array(hash.prefix(16))))
                }
            } else if folder.isEmpty || path.starts(with: folder + [0x2f]) {
                let rest = folder.isEmpty ? path[...] : path.dropFirst(folder.count + 1)
                names.insert(String(decoding: rest.prefix { $0 != 0x2f }, as: UTF8.self) + "/")
            }
        }
        return names.sorted()
    }

    /// Ids of at most `limit` leases at or below `folder`.
    private func leases(below folder: [UInt8], limit: Int, into found: inout [String]) throws {
        for (name, _) in try barrier.entries(in: .lease, parent: BarrierKey.leaseFolder(folder), limit: limit)
        where found.count < limit {
            let path = (folder.isEmpty ? [] : folder + [0x2f]) + name
            if name.last == 0x2f {
                try leases(below: Array(path.dropLast()), limit: limit, into: &found)
            } else {
                found.append(String(decoding: path, as: UTF8.self))
            }
        }
    }

    // MARK: revoking

    /// Every lease and token at or below a path, some at a time, each with its own records.
    private func revokeAll(below prefix: String, isForced: Bool) async throws {
        var folder = Array(prefix.utf8)
        while folder.last == 0x2f { folder.removeLast() }
        if try lease(String(decoding: folder, as: UTF8.self)) != nil {
            try await revokeOne(String(decoding: folder, as: UTF8.self), isForced: isForced)
        }
        var failed: Set<String> = []
        while true {
            var found: [String] = []
            try leases(below: folder, limit: Self.batch + failed.count, into: &found)
            let left = found.filter { !failed.contains($0) }
            guard !left.isEmpty else { break }
            failed.formUnion(await revokeTogether(left, isForced: isForced).keys)
            if failed.count > 1000 { break }
        }
        try await revokeTokens(issuedBelow: folder)
        guard failed.isEmpty else {
            throw VaultError(
                .upstream,
                "\(failed.count) leases could not be revoked yet and are tried again: see sys/leases, or use revoke-force"
            )
        }
    }

    /// As many at a time as may wait at one place.
    /// - Returns: those that could not be revoked yet, and why.
    func revokeTogether(_ ids: [String], isForced: Bool = false) async -> [String: VaultError] {
        var failed: [String: VaultError] = [:]
        var rest = ids[...]
        while let first = rest.first {
            let together = rest.prefix(Self.revocationPlace(of: first).limit)
            rest = rest.dropFirst(together.count)
            await withTaskGroup(of: (String, VaultError?).self) { group in
                for id in together {
                    group.addTask {
                        do {
                            try await self.revokeOne(id, isForced: isForced)
                            return (id, nil)
                        } catch {
                            return (id, VaultError(mapping: error))
                        }
                    }
                }
                for await (id, failure) in group { failed[id] = failure }
            }
        }
        return failed
    }

    private func revokeOne(_ id: String, isForced: Bool) async throws {
        guard isForced else {
            try await revokeRecorded(id)
            return
        }
        guard let state = unsealed else { throw VaultError.sealed }
        try await recorded(.leaseRevoke, AuditWhat(lease: id, details: [("forced", .flag(true))])) {
            try await state.locks.withLock(Array("lease/\(id)".utf8)) {
                guard let lease = try lease(id) else { return }
                journal(
                    true,
                    "a lease was forgotten by force: what it gave may still work in the target system",
                    ["lease": id]
                )
                _ = try await commit(forgetting(lease))
            }
        }
    }

    /// A change on the vault's own account, between records of its own.
    func recorded(_ operation: AuditOperation, _ what: AuditWhat, _ body: () async throws -> Void) async throws {
        let start = clock.monotonic()
        let correlation = Random.base62(16)
        func record(_ phase: AuditDraft.Phase, _ outcome: AuditDraft.Outcome, _ error: String?, _ references: [UInt64])
            -> AuditDraft
        {
            AuditDraft(
                operation,
                phase: phase,
                outcome: outcome,
                error: error,
                correlation: correlation,
                references: references,
                generation: phase == .outcome ? barrier.generation : nil,
                acceptedAt: start,
                who: AuditWho.system,
                what: what
            )
        }
        let intent = try await appendRecord(record(.intent, .granted, nil, []))
        var failure: VaultError?
        do {
            try await body()
        } catch {
            failure = VaultError(mapping: error)
        }
        let outcome = failure == nil ? AuditDraft.Outcome.granted : .error
        _ = try await appendRecord(record(.outcome, outcome, failure?.code.rawValue, [intent.index]))
        if let failure { throw failure }
    }

    /// Looks at every lease for what should have ended.
    private func tidyLeases() async {
        do {
            let now = clock.now()
            var overdue = 0
            var folders: [[UInt8]] = [[]]
            while let folder = folders.popLast() {
                for name in try barrier.names(in: .lease, parent: BarrierKey.leaseFolder(folder)) {
                    let path = (folder.isEmpty ? [] : folder + [0x2f]) + name
                    if name.last == 0x2f {
                        folders.append(Array(path.dropLast()))
                    } else if let lease = try lease(String(decoding: path, as: UTF8.self)), lease.expires <= now {
                        overdue += 1
                        revokeInBackground(lease.id)
                    }
                }
                await Task.yield()
            }
            journal(false, "leases were tidied", ["overdue": "\(overdue)"])
        } catch {
            journal(true, "leases could not be tidied", ["reason": "\(error)"])
        }
    }
}
