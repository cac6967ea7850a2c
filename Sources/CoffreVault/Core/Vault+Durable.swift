internal import CoffreAudit

/// Waiting for disks without leaving the vault's executor.
extension Vault {
    /// One durable transaction; queued before this suspends, so that calls keep their order.
    /// - Returns: the generation.
    /// - Throws: ``BarrierError``.
    func commit(_ mutations: [BarrierMutation]) async throws -> UInt64 {
        let result: Result<UInt64, BarrierError> = await withCheckedContinuation { continuation in
            barrier.enqueue(mutations) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// One durable record.
    /// - Throws: ``AuditError``.
    @discardableResult
    func appendRecord(_ draft: AuditDraft) async throws -> AuditReceipt {
        let result: Result<AuditReceipt, AuditError> = await withCheckedContinuation { continuation in
            audit.append(draft) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }
}
