internal import CoffreStorage
internal import Synchronization

/// Work of one session on the storage thread.
final class BarrierWork: StorageWork {
    /// Changes the group; a rejection must come before the first write.
    typealias Body = @Sendable (inout BarrierGroup, any StorageTransaction) throws(StorageError) -> StorageVerdict

    private let core: BarrierCore
    private let session: BarrierSession
    private let body: Body
    private let completion: @Sendable (Result<UInt64, BarrierError>) -> Void

    init(
        _ core: BarrierCore,
        _ session: BarrierSession,
        body: @escaping Body,
        completion: @escaping @Sendable (Result<UInt64, BarrierError>) -> Void
    ) {
        self.core = core
        self.session = session
        self.body = body
        self.completion = completion
    }

    func apply(in transaction: any StorageTransaction) throws(StorageError) -> StorageVerdict {
        try core.withGroup(of: session) { group throws(StorageError) in try body(&group, transaction) }
    }

    func complete(_ outcome: StorageOutcome) {
        // Whoever waited across a seal hears of the seal, even when the write has become durable.
        guard core.current === session else { return completion(.failure(.sealed)) }
        switch outcome {
        case .committed(let generation): completion(.success(generation))
        case .rejected(let error as BarrierError): completion(.failure(error))
        case .rejected: completion(.failure(.conflict))
        case .failed(let error): completion(.failure(.storage(error)))
        }
    }
}
