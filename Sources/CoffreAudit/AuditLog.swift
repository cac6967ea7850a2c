internal import CoffreCrypto

/// What the log says of itself.
package struct AuditHealth: Sendable, Equatable {
    package enum KeyLocation: String, Sendable {
        case credential, file
    }

    /// False once a write or sync has failed for good, or after ``AuditLog/close()``.
    package let isWritable: Bool
    /// Durable records: the tree size.
    package let size: UInt64
    /// `CLOCK_REALTIME` microseconds of the last durable record.
    package let lastRecordTime: Int64
    package let keyLocation: KeyLocation

    package init(isWritable: Bool, size: UInt64, lastRecordTime: Int64, keyLocation: KeyLocation) {
        self.isWritable = isWritable
        self.size = size
        self.lastRecordTime = lastRecordTime
        self.keyLocation = keyLocation
    }
}

/// The append-only audit log: one writer, many callers, a receipt only for a durable record.
package final class AuditLog: Sendable {
    package typealias Completion = @Sendable (Result<AuditReceipt, AuditError>) -> Void

    /// The log's name.
    package let origin: String
    /// The highest storage generation that an outcome record of this log holds, as read back at open.
    package let lastGeneration: UInt64?
    private let configuration: AuditLogConfiguration

    private init(configuration: AuditLogConfiguration) {
        self.configuration = configuration
        origin = configuration.origin
        lastGeneration = nil
    }

    /// Opens the log for writing: genesis on first use, else recovery. Blocks on the disk.
    package static func open(_ configuration: AuditLogConfiguration) throws(AuditError) -> AuditLog {
        try configuration.fileSystem.prepareRoot(create: true)
        return AuditLog(configuration: configuration)
    }

    /// Queues a record. `completion` runs through the configured delivery once the record is durable, or has failed.
    package func append(_ draft: AuditDraft, completion: @escaping Completion) {
        configuration.deliver { completion(.failure(.closed)) }
    }

    /// Appends a record and returns once it is durable.
    package func append(_ draft: AuditDraft) async throws(AuditError) -> AuditReceipt {
        try await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<AuditReceipt, AuditError>, Never>) in
            append(draft) { continuation.resume(returning: $0) }
        }.get()
    }

    /// A short keyed digest (24 characters of base64) of `bytes` under the log's digest key; `domain` says what they
    /// are, and the input is unambiguous: both parts carry their length.
    package func keyedDigest(_ bytes: UnsafeRawBufferPointer, domain: StaticString) -> String { "" }

    /// The pseudonym of a person or service; registered, with its card sealed, at first sight. Blocks on the disk then.
    /// - Parameters:
    ///   - uid: the kernel's uid, when that identifies the subject.
    ///   - entity: the identity entity, when that does.
    ///   - card: what resolves the pseudonym (login, display name, …); only its salted commitment enters the log.
    package func subject(kind: AuditWho.Kind, uid: UInt32?, entity: String?, card: [UInt8]) throws(AuditError) -> String
    {
        throw .closed
    }

    /// Appends a `heartbeat`; the daemon calls it every five minutes.
    package func heartbeat(_ details: [AuditWhat.Detail]) {}

    package var health: AuditHealth {
        AuditHealth(isWritable: false, size: 0, lastRecordTime: 0, keyLocation: .file)
    }

    /// Drains the queue, writes `daemon.stop` and `segment.seal`, seals the segment and releases the lock. Blocks.
    package func close() {}
}
