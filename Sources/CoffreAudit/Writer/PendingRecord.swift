/// A record that waits for the disk, and who waits for it.
struct PendingRecord: Sendable {
    enum Waiter: Sendable {
        /// Nobody: a record of the log about itself.
        case none
        /// A caller, reached through the configured delivery.
        case caller(AuditLog.Completion)
        /// Work of the log itself, run on the writer's thread after the callers have been served.
        case log(AuditLog.Completion)
    }

    let draft: AuditDraft
    let waiter: Waiter
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

    init(
        own: [PendingRecord],
        records: ArraySlice<PendingRecord>,
        results: [Result<AuditReceipt, AuditError>],
        finalFailure: AuditError? = nil
    ) {
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
        for place in own.indices {
            if case .log(let completion) = own[place].waiter { completion(results[place]) }
        }
        for place in records.indices {
            if case .log(let completion) = records[place].waiter {
                completion(results[own.count + place - records.startIndex])
            }
        }
    }
}
