internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage
internal import CoffreWire

/// An older copy of the database was put back: nothing is served before an operator has confirmed, and what was revoked
/// since is revoked again first.
extension Vault {
    /// How many revocations `sys/restore/status` lists.
    private static let listed = 1000

    /// Whether the database is an older copy, from three signs: it was restored from a snapshot, a confirmation was
    /// interrupted, or the audit log has seen a later generation.
    /// - Throws: ``VaultError`` `.storageCorrupt` when the snapshot was not made by this vault, or was changed.
    func findHold() throws -> RestoreHold? {
        guard let stored = barrier.generation else { throw VaultError.sealed }
        let begun = try barrier.get(.restoreMarker)?.value.withBytes { UInt64(String(decoding: $0, as: UTF8.self)) }
        let generation = (begun ?? nil) ?? stored
        let logged = audit.lastGeneration ?? 0
        let remedy =
            "nothing is served until an operator has looked (coffre operator restore-status) and confirms "
            + "(coffre operator restore-confirm, sys/restore/confirm)"
        if let text = try barrier.restoredManifest() {
            let manifest: SnapshotManifest
            do throws(SnapshotError) { manifest = try SnapshotManifest(decoding: text) } catch {
                throw Self.foreign(error)
            }
            guard let vault = sealStore.status?.vaultID, manifest.vault == Hex.encode(vault),
                try barrier.hasMade(manifest), manifest.generation == generation
            else { throw Self.foreign(nil) }
            let time = Timestamp(seconds: manifest.created).rfc3339
            return RestoreHold(
                reason: "a snapshot of \(time) was restored (generation \(generation), the audit log has seen "
                    + "\(logged)): \(remedy)",
                generation: generation,
                manifest: manifest
            )
        }
        guard begun != nil || stored < logged else { return nil }
        return RestoreHold(
            reason: "an older copy of the database was put back (generation \(generation), the audit log has seen "
                + "\(logged)): \(remedy)",
            generation: generation,
            manifest: nil
        )
    }

    private static func foreign(_ cause: (any Error)?) -> VaultError {
        VaultError(
            .storageCorrupt,
            "the restored snapshot was not made by this vault, or was changed since: restore another one",
            cause: cause
        )
    }

    private func makeReport(_ hold: RestoreHold) async throws -> RestoreReport {
        let (audit, barrier) = (audit, barrier)
        return try await onThread { () -> Result<RestoreReport, any Error> in
            Result { try RestoreReport.make(hold, audit: audit, barrier: barrier) }
        }.get()
    }

    // MARK: status

    /// `sys/restore/status`: what differs. With `verify=true` the keyed hash over all rows is recomputed too.
    func restoreStatus(_ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        guard let hold = state.hold else { return Effect(.data(["hold": .bool(false)])) }
        let report = try await makeReport(hold)
        var members: [JSONValue.Member] = [
            .init("hold", .bool(true)), .init("reason", .string(hold.reason)),
            .init("database_generation", .integer(hold.generation)),
            .init("log_generation", .integer(audit.lastGeneration ?? 0)),
            .init("log_origin", .string(audit.origin)), .init("log_size", .integer(audit.health.size)),
            .init("same_log", report.isSameLog.map { .bool($0) } ?? .null),
            .init("snapshot", hold.manifest?.json ?? .null),
            .init(
                "newer_changes",
                .object(report.changes.sorted { $0.key < $1.key }.map { .init($0.key, .integer($0.value)) })
            ),
            .init("newer_changes_total", .integer(report.changes.values.reduce(0, +))),
            .init("revoked_since_total", .integer(report.revoked)),
            .init("to_revoke_total", .integer(report.alive.count)),
            .init("to_revoke", .array(report.alive.prefix(Self.listed).map(\.json))),
        ]
        if context.query("verify").flatMap({ GoBool.parse($0) }) ?? false {
            let barrier = self.barrier
            try await onThread { () -> Result<Void, BarrierError> in
                do throws(BarrierError) { return .success(try barrier.scrub()) } catch { return .failure(error) }
            }.get()
            members.append(.init("rows_verified", .bool(true)))
        }
        return Effect(.data(.object(members)))
    }

    // MARK: confirmation

    /// Revokes again what the log says was revoked since, and only then serves. A crash on the way finds the hold again.
    func confirmRestore(_ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        guard let hold = state.hold else { throw VaultError.badRequest("the vault is not in hold mode") }
        guard !isConfirmingRestore else { throw VaultError.badRequest("the restore is being confirmed already") }
        isConfirmingRestore = true
        defer { isConfirmingRestore = false }
        let report = try await makeReport(hold)
        guard unsealed === state else { throw VaultError.sealed }
        let marker = SharedSecret(copying: Array(String(hold.generation).utf8))
        _ = try await barrier.advanceGeneration(
            past: max(audit.lastGeneration ?? 0, hold.generation),
            with: [.put(.restoreMarker, marker, expect: .any)]
        )
        var (tokens, leases) = (0, 0)
        for revocation in report.alive {
            switch revocation.target {
            case .token(let accessor): tokens += try await revokeAgain(accessor: accessor, state)
            case .lease(let id):
                _ = try await beginRevocation(id)
                leases += 1
            }
        }
        guard unsealed === state else { throw VaultError.sealed }
        let generation = try await barrier.commit([.delete(.restoreMarker, expect: .any)], meta: [.restored: []])
        state.hold = nil
        holdReason = nil
        try finishInterrupted()
        var what = AuditWhat()
        what.path = context.pathText
        what.details = [
            ("leases", .int(Int64(leases))), ("since", .int(Int64(clamping: hold.generation))),
            ("tokens", .int(Int64(tokens))),
        ]
        return Effect(.noContent, generation: generation, what: what)
    }

    private func revokeAgain(accessor: String, _ state: UnsealedState) async throws -> Int {
        guard let row = try barrier.get(.tokenAccessor(accessor)),
            let hash = row.value.withBytes({ Digest(Array($0)) })
        else { return 0 }
        let start = clock.monotonic()
        _ = try await revoke(tokenTree: hash)
        var what = AuditWhat()
        what.details = [("accessor", .text(accessor)), ("reason", .text("restore"))]
        try await appendRecord(
            AuditDraft(
                .tokenRevoke,
                outcome: .granted,
                correlation: Random.base62(16),
                acceptedAt: start,
                who: AuditWho.system,
                what: what
            )
        )
        return 1
    }
}

extension RestoreReport.Revocation {
    fileprivate var json: JSONValue {
        let subject: JSONValue.Member =
            switch target {
            case .token(let accessor): .init("accessor", .string(accessor))
            case .lease(let id): .init("lease_id", .string(id))
            }
        return .object([subject, .init("record", .integer(record)), .init("time", .string(time))])
    }
}
