package import CoffreAudit
internal import CoffreWire

/// Answers that went nowhere, and refusals beyond a caller's budget: one durable record opens a window, everything in it is counted.
extension Vault {
    func answerFlood(
        _ context: RequestContext,
        _ note: VaultError.RecordNote?,
        _ completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        let uid = context.principal.uid
        let draft = Reply.failure(VaultError(.rateLimited, "too many refused requests: wait before trying again"))
            .draft(requestID: context.requestID)
        tellOfAlarm(context, note)
        if let receipt = budget.countSuppressed(uid: uid) {
            completion(ReleasedAnswer(draft, receipt: receipt))
            return
        }
        budget.open(uid: uid, waiting: (draft, completion)) { [self] in
            let record = AuditDraft(
                .overflow,
                outcome: .rateLimited,
                correlation: context.correlation,
                acceptedAt: context.request.acceptedAt,
                who: who(of: context.principal)
            )
            audit.append(record) { result in self.assumeIsolated { $0.floodRecorded(uid, result) } }
        }
    }

    /// What a flood must not hide is recorded beside the count, once; the caller is answered as ever.
    private func tellOfAlarm(_ context: RequestContext, _ note: VaultError.RecordNote?) {
        guard context.decoy != nil || note != nil else { return }
        let alarm = "\(note?.error ?? "")/\(context.decoy ?? "")"
        guard budget.tells(alarm, uid: context.principal.uid) else { return }
        let record = AuditDraft(
            .overflow,
            outcome: .rateLimited,
            error: note?.error,
            correlation: context.correlation,
            acceptedAt: context.request.acceptedAt,
            who: context.caller?.who ?? who(of: context.principal),
            what: recorded(AuditWhat(details: note?.details ?? []), context, isTouch: context.decoy != nil)
        )
        audit.append(record) { _ in }
    }

    private func floodRecorded(_ uid: UInt32, _ result: Result<AuditReceipt, AuditError>) {
        let receipt = try? result.get()
        for (draft, completion) in budget.recorded(uid: uid, receipt) {
            completion(receipt.map { ReleasedAnswer(draft, receipt: $0) } ?? .logUnavailable)
        }
    }

    /// Writes the exact count of every flood window that has ended. Called by the timer.
    func closeFloodWindows() {
        for window in budget.takeEnded(at: clock.monotonic()) {
            var what = AuditWhat()
            what.details = [("count", .int(Int64(window.count)))]
            let record = AuditDraft(
                .overflow,
                phase: .outcome,
                outcome: .rateLimited,
                correlation: "overflow-window-",
                references: [window.receipt.index],
                acceptedAt: clock.monotonic(),
                who: AuditWho.system,
                what: what
            )
            audit.append(record) { _ in }
        }
    }

    /// Records that a released answer could not be written to its caller.
    package func deliveryFailed(_ receipt: AuditReceipt, as principal: Principal) {
        let now = clock.monotonic()
        let record = AuditDraft(
            .deliveryFailed,
            outcome: .error,
            error: "socket",
            correlation: "delivery-failed-",
            references: [receipt.index],
            acceptedAt: now,
            who: who(of: principal)
        )
        audit.append(record) { _ in }
    }
}
