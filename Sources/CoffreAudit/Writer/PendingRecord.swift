/// A record that waits for the disk, and who waits for it.
struct PendingRecord: Sendable {
    enum Waiter: Sendable {
        /// Nobody: a record of the log about itself.
        case none
        /// A caller, reached through the configured delivery.
        case caller(AuditLog.Completion)
        /// Work of the log itself, run on the writer's thread after the callers have been served.
        case log(AuditLog.Completion)
        /// As `log`, for a record that is proven in a file of its own: it is the last of its batch.
        case proven(@Sendable (Result<ProvenRecord, AuditError>) -> Void)
    }

    let draft: AuditDraft
    let waiter: Waiter

    var isProven: Bool { if case .proven = waiter { true } else { false } }
}

/// A durable record with its proof.
struct ProvenRecord: Sendable {
    let receipt: AuditReceipt
    /// See ``RecordProof``.
    let proof: [UInt8]
}

/// What became of the records of one batch.
struct BatchResult: Sendable {
    /// The log's own records, then those of callers.
    private let own: [PendingRecord]
    private let records: ArraySlice<PendingRecord>
    /// One for each record, in that order.
    private let results: [Result<AuditReceipt, AuditError>]
    /// Why nothing can be written any more; nil when that is not so.
    let finalFailure: AuditError?
    /// Of the last record, when it asked for one.
    private let proof: [UInt8]?

    init(
        own: [PendingRecord],
        records: ArraySlice<PendingRecord>,
        results: [Result<AuditReceipt, AuditError>],
        proof: [UInt8]? = nil,
        finalFailure: AuditError? = nil
    ) {
        self.proof = proof
        self.finalFailure = finalFailure
        self.own = own
        self.records = records
        self.results = results
    }

    init(_ records: ArraySlice<PendingRecord>, failedWith error: AuditError) {
        var finalFailure: AuditError? = error
        if case .noSpace = error { finalFailure = nil }
        self.init(
            own: [],
            records: records,
            results: records.map { _ in .failure(error) },
            finalFailure: finalFailure
        )
    }

    /// Runs the callers' completions in the order of the records.
    func serveCallers() {
        for place in records.indices {
            if case .caller(let completion) = records[place].waiter {
                completion(results[own.count + place - records.startIndex])
            }
        }
    }

    /// Runs the log's own completions.
    func serveLog() {
        for place in own.indices { serveLog(own[place].waiter, results[place]) }
        for place in records.indices {
            serveLog(records[place].waiter, results[own.count + place - records.startIndex])
        }
    }

    private func serveLog(_ waiter: PendingRecord.Waiter, _ result: Result<AuditReceipt, AuditError>) {
        switch waiter {
        case .none, .caller: break
        case .log(let completion): completion(result)
        case .proven(let completion):
            completion(result.map { ProvenRecord(receipt: $0, proof: proof ?? []) })
        }
    }
}
