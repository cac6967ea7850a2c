internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage

/// What the vault does for itself, a little at each tick.
extension Vault {
    /// How far behind the clock the stored cursor stays, in minutes: what was due before it has been dealt with for long.
    private static let cursorLag: Int64 = 20

    func upkeep(_ state: UnsealedState, _ now: Timestamp) {
        sweepPolicies(state, now)
        if now.seconds / 60 != state.removalsChecked {
            state.removalsChecked = now.seconds / 60
            continueConnectionRemovals(state)
            forgetApprovals(now)
            reconcileWhenDue(state, now)
            reviewGrants(state, now)
        }
        guard !state.isKeepingUp else { return }
        let minute = now.seconds / 60
        if now.seconds / 86_400 != state.dayOfPeople {
            // A pseudonym's card is marked as used when it is asked for, which is once a day from here on.
            state.dayOfPeople = now.seconds / 86_400
            forgetPeople()
        }
        let movesCursor = minute >= state.storedCursor + 2 * Self.cursorLag
        let scrubs = now.seconds >= state.nextScrub
        var isDue = false
        if minute != state.rotationChecked {
            state.rotationChecked = minute
            isDue = isRotationDue(now)
        }
        let rotates = isDue
        guard movesCursor || scrubs || barrier.needsRotation || barrier.hasOldTerms || isDue else { return }
        state.isKeepingUp = true
        Task {
            if scrubs { self.startScrub(state, now) }
            do {
                if movesCursor { try await self.moveCursor(state, to: minute - Self.cursorLag) }
                if self.barrier.needsRotation || rotates { try await self.rotateBarrier() }
                if self.barrier.hasOldTerms {
                    state.reencryptedThrough = try await self.barrier.reencryptStep(
                        after: state.reencryptedThrough,
                        limit: 100
                    )
                }
            } catch {
                self.journal(true, "upkeep of the database failed and is tried again", ["reason": "\(error)"])
            }
            state.isKeepingUp = false
        }
    }

    private func moveCursor(_ state: UnsealedState, to minute: Int64) async throws {
        let value = SharedSecret(copying: Array(String(minute).utf8))
        _ = try await commit([.put(.expiryCursor, value, expect: .any)])
        state.storedCursor = minute
    }

    /// Once a day, and soon after each opening: does the database hold what was written, no more and no less?
    private func startScrub(_ state: UnsealedState, _ now: Timestamp) {
        state.nextScrub = now.seconds + 86_400
        let barrier = self.barrier
        WorkerThread.start {
            let found: BarrierError?
            do throws(BarrierError) {
                try barrier.scrub()
                found = nil
            } catch {
                found = error
            }
            guard let found, found.code == .corrupt else { return }
            Task { await self.reportDamage(found.message) }
        }
    }

    private func reportDamage(_ message: String) {
        journal(true, "the database was changed from outside", ["reason": message])
        var what = AuditWhat()
        what.details = [("kind", .text("storage")), ("reason", .text(message))]
        let record = AuditDraft(
            .anomalyRaise,
            outcome: .error,
            error: "storage_corrupt",
            correlation: Random.base62(16),
            acceptedAt: clock.monotonic(),
            who: AuditWho.system,
            what: what
        )
        audit.append(record) { _ in }
    }
}
