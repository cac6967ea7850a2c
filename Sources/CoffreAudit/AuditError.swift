/// What can go wrong with the audit log. Messages name paths and record numbers, never a value of a record.
package enum AuditError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The log contradicts itself: nothing is repaired, nothing is appended. `record` is the first bad one when known.
    case damaged(segment: String, record: UInt64?, reason: String)
    /// More records wait than the queue holds; the caller answers 429 or 500.
    case overloaded
    /// The log has been closed.
    case closed
    /// The batch could not be written for want of space (ENOSPC, EDQUOT, EFBIG) and was taken back whole. Later
    /// appends may succeed.
    case noSpace(path: String)
    /// Only the space that was set aside is left, and this record is not one of those that may still use it.
    /// - Parameters: whether the disk has refused a write, and what is left below the log's folder; `freeFiles` is nil
    ///   where files are not limited.
    case nearlyFull(path: String, isRefusing: Bool, freeBytes: Int, freeFiles: Int?)
    /// A write or sync failed in a way that leaves the state of the disk unknown. Final until the next start.
    case failed(reason: String)
    /// A witness knows more records than there are, or others: the log was rolled back or forked. Final.
    case contradicted(witness: String, reason: String)
    /// Another process holds the log.
    case alreadyOpen(path: String)
    /// A file or folder is not what it must be; `remedy` says what to type.
    case unsafePath(path: String, problem: String, remedy: String)
    /// A record that cannot be written in the strict form.
    case invalidRecord(reason: String)
    /// A setting that cannot be used.
    case invalidConfiguration(reason: String)
    /// The log's keys cannot be read with the credential given.
    case keysUnavailable(reason: String)
    /// The index cannot be read or written; the log itself is not concerned.
    case indexUnavailable(reason: String)
    /// A system call failed while opening or reading.
    case system(call: String, path: String, errno: Int32)

    /// A safe sentence for operators.
    package var message: String {
        switch self {
        case .damaged(let segment, let record, let reason):
            let place = record.map { "\(segment), record \($0)" } ?? segment
            return
                "the audit log is damaged at \(place): \(reason); nothing was changed, keep a copy and call an officer"
        case .overloaded: return "too many records wait for the disk; try again"
        case .closed: return "the audit log is closed"
        case .noSpace(let path): return "no space left for the audit log at \(path); free some space, then retry"
        case .nearlyFull(let path, let isRefusing, let bytes, let files):
            let few = files.map { $0 < 1000 ? " and \($0) files" : "" } ?? ""
            let how = isRefusing ? "full, or refuses writes" : "nearly full"
            return
                "the audit log's disk is \(how): \(bytes / 1_048_576) MiB\(few) left below \(path); free space or prune; secrets are refused until then"
        case .failed(let reason): return "the audit log cannot be written: \(reason); restart after checking the disk"
        case .contradicted(let witness, let reason):
            return
                "the audit log contradicts its witness \(witness): \(reason). It was rolled back or forked: keep a copy, "
                + "call an officer, put the newest log back, or begin a new one with [audit] continues, coffre.toml(5)"
        case .alreadyOpen(let path): return "another process writes the audit log at \(path); stop it first"
        case .unsafePath(let path, let problem, let remedy): return "\(path) \(problem); \(remedy)"
        case .invalidRecord(let reason): return "the record cannot be written: \(reason)"
        case .invalidConfiguration(let reason): return reason
        case .keysUnavailable(let reason): return reason
        case .indexUnavailable(let reason): return "the index of the log cannot be used: \(reason)"
        case .system(let call, let path, let errno):
            return "\(call) failed on \(path): \(SystemText.describe(errno))"
        }
    }

    package var description: String { message }

    /// What a caller may hear: why the disk refuses, and what would help; nil for what is the operators' affair.
    package var sentenceForCallers: String? {
        switch self {
        case .nearlyFull, .noSpace: message
        default: nil
        }
    }

    /// The disk said no before anything was promised.
    var isWantOfSpace: Bool {
        switch self {
        case .noSpace: true
        case .system(_, _, let errno): LogWriter.isTransient(errno)
        default: false
        }
    }
}
