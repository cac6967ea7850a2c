import Glibc
import Synchronization

/// One line on a terminal's standard error, written over at most ten times a second; silent on anything else.
final class ProgressLine: Sendable {
    private let language: Language
    private let isShown = isatty(STDERR_FILENO) == 1
    private let last = Mutex<ContinuousClock.Instant?>(nil)

    init(_ language: Language) { self.language = language }

    func show(_ message: @autoclosure () -> Message) {
        guard isShown else { return }
        let now = ContinuousClock.now
        let isDue = last.withLock { last in
            if let last, last.duration(to: now) < .milliseconds(100) { return false }
            last = now
            return true
        }
        guard isDue else { return }
        _ = writeAll(Array("\r\u{1b}[K\(message().text(language))".utf8), to: STDERR_FILENO)
    }

    func clear() {
        guard last.withLock({ $0 != nil }) else { return }
        _ = writeAll(Array("\r\u{1b}[K".utf8), to: STDERR_FILENO)
    }
}
