import Dispatch
import Glibc
import Synchronization

/// How signals stood when the program started: a child gets them back like that.
enum InheritedSignals {
    /// Signals that are passed on to the child.
    static let relayed: [Int32] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2]

    private struct State {
        var mask = sigset_t()
        var ignored: Set<Int32> = []
    }
    private static let state = Mutex(State())

    /// Called first of all, on the main thread, before any library changes a disposition.
    static func remember() {
        state.withLock { state in
            pthread_sigmask(SIG_BLOCK, nil, &state.mask)
            for signal in relayed + [SIGPIPE] {
                var action = sigaction()
                sigaction(signal, nil, &action)
                let handler = action.__sigaction_handler.sa_handler
                let value = unsafeBitCast(handler, to: Int.self)  // Function pointers do not compare in Swift.
                // SIG_IGN, signal(7).
                if value == 1 { state.ignored.insert(signal) }
            }
        }
    }

    static var mask: sigset_t { state.withLock(\.mask) }
    static func isIgnored(_ signal: Int32) -> Bool { state.withLock { $0.ignored.contains(signal) } }
}

/// Where the handler writes. Set once before the handler is installed.
private let signalPipe = Atomic<Int32>(-1)
/// The first signal that asked to stop, 0 for none. Set by the handler itself: a signal that was taken before the child
/// starts is never overlooked.
private let firstStop = Atomic<Int32>(0)

/// Takes the signals of this process and decides: stop preparing, or pass them on to the child.
///
/// A handler writes each signal to a pipe; a thread of its own reads it. What a terminal sends goes to the child too
/// (same process group), so only what a process sent is passed on.
final class SignalRelay: Sendable {
    private enum Phase {
        case preparing
        case running(pid_t)
        case over
    }
    private struct State {
        var phase = Phase.preparing
        var hasStopped = false
        var cancel: (@Sendable () -> Void)?
    }
    private let state = Mutex(State())

    /// Installs the handlers. Once per process.
    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0, ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 }) else {
            throw Failure("no pipe for signals can be made", "impossible de créer un tube pour les signaux")
        }
        signalPipe.store(ends[1], ordering: .releasing)
        for signal in InheritedSignals.relayed where !InheritedSignals.isIgnored(signal) {
            var action = sigaction()
            action.sa_flags = SA_SIGINFO | SA_RESTART
            sigfillset(&action.sa_mask)
            action.__sigaction_handler.sa_sigaction = { signal, info, _ in
                // Async-signal-safe: atomics and write(2); errno is put back (signal-safety(7)).
                let saved = errno
                if signal != SIGUSR1 && signal != SIGUSR2 {
                    _ = firstStop.compareExchange(expected: 0, desired: signal, ordering: .acquiringAndReleasing)
                }
                let isFromKernel = (info?.pointee.si_code ?? 0) > 0
                var byte = UInt8(truncatingIfNeeded: signal) | (isFromKernel ? 0x80 : 0)
                _ = write(signalPipe.load(ordering: .acquiring), &byte, 1)
                errno = saved
            }
            sigaction(signal, &action, nil)
        }
        let reading = ends[0]
        DispatchQueue(label: "signals").async { [self] in
            var byte: UInt8 = 0
            while true {
                let count = read(reading, &byte, 1)
                if count == 1 {
                    received(Int32(byte & 0x7f), isFromKernel: byte & 0x80 != 0)
                } else if !(count < 0 && errno == EINTR) {
                    return
                }
            }
        }
    }

    /// The signal that asked to stop; meant for the time before the child is there.
    var stopRequest: Int32? {
        let signal = firstStop.load(ordering: .acquiring)
        return signal == 0 ? nil : signal
    }

    /// What a second request to stop does while preparing: give up waiting for an answer.
    func onSecondStop(_ cancel: @escaping @Sendable () -> Void) {
        state.withLock { $0.cancel = cancel }
    }

    /// Starts the child unless a stop was asked for; nothing can come in between.
    /// - Returns: the pid, nil after a request to stop.
    func start(_ spawn: () throws -> pid_t) rethrows -> pid_t? {
        try state.withLock { state in
            guard stopRequest == nil else { return nil }
            let pid = try spawn()
            state.phase = .running(pid)
            return pid
        }
    }

    /// Waits for the child to end.
    /// - Returns: its exit status, or 128 + the signal that killed it.
    func wait(for pid: pid_t) async -> Int32 {
        await withCheckedContinuation { continuation in
            DispatchQueue(label: "child").async { [self] in
                // It stays a zombie until no signal can be sent to it any more: its pid is not reused meanwhile.
                var info = siginfo_t()
                while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
                state.withLock { $0.phase = .over }
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
                // wait(2): the low seven bits are the signal, the second byte the exit status.
                let signal = status & 0x7f
                continuation.resume(returning: signal == 0 ? (status >> 8) & 0xff : 128 + signal)
            }
        }
    }

    private func received(_ signal: Int32, isFromKernel: Bool) {
        let cancel: (@Sendable () -> Void)? = state.withLock { state in
            switch state.phase {
            case .preparing:
                guard signal != SIGUSR1, signal != SIGUSR2 else { return nil }
                if state.hasStopped { return state.cancel }
                state.hasStopped = true
            case .running(let pid):
                if !isFromKernel { kill(pid, signal) }
            case .over: break
            }
            return nil
        }
        cancel?()
    }
}
