internal import CoffreAudit
internal import Glibc
internal import Logging

extension Daemon {
    /// Puts what the log says of its disk into the journal.
    static func tell(_ notice: DiskNotice, _ logger: Logger) {
        let level: Logger.Level =
            switch notice.weight {
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            }
        let facts = Logger.Metadata(uniqueKeysWithValues: notice.facts.map { ($0.key, "\($0.value)") })
        logger.log(level: level, "\(notice.message)", metadata: facts)
    }

    /// A write beyond the largest file that is allowed must fail with EFBIG, not end the process (signal(7), SIGXFSZ).
    static func ignoreFileSizeSignal() { signal(SIGXFSZ, SIG_IGN) }
}
