internal import CoffreAudit
internal import CoffreStorage

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

    /// Runs what blocks for long on a thread of its own.
    func onThread<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
        await withCheckedContinuation { continuation in
            WorkerThread.start { continuation.resume(returning: body()) }
        }
    }
}
