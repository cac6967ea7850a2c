import Foundation
import Glibc

/// A child process whose output is kept, and which never outlives its test.
package final class RunningProcess: @unchecked Sendable {  // Output is guarded by the lock; the rest is set once.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String

        package init(description: String) { self.description = description }
    }

    private let process = Process()
    /// Guards what follows, and tells of each change.
    private let changed = NSCondition()
    private var collected = Data()
    private var isDrained = false
    private var hasEnded = false

    /// Starts `executable`; standard output and error go into ``output``.
    package init(_ executable: String, _ arguments: [String], environment: [String: String] = [:], input: String? = nil)
        throws
    {
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment
        for name in variables.keys where name.hasPrefix("COFFRE_") || name.hasPrefix("BAO_") || name.hasPrefix("VAULT_")
        {
            variables[name] = nil
        }
        for (name, value) in environment { variables[name] = value }
        process.environment = variables
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        if let input {
            let source = Pipe()
            process.standardInput = source
            source.fileHandleForWriting.write(Data(input.utf8))
            try source.fileHandleForWriting.close()
        } else {
            process.standardInput = FileHandle.nullDevice
        }
        process.terminationHandler = { [weak self] ended in
            Living.shared.remove(ended.processIdentifier)
            self?.change { $0.hasEnded = true }
        }
        try process.run()
        Living.shared.add(process.processIdentifier)
        // A thread of its own: a dispatch source of a handle that is let go of in its own handler can crash the tests.
        let reader = pipe.fileHandleForReading
        // Weak, or nobody would ever let go of the process and end it.
        Thread.detachNewThread { [weak self] in
            var chunk = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(reader.fileDescriptor, &chunk, chunk.count)
                if count < 0, errno == EINTR { continue }
                self?.append(Data(chunk[..<max(0, count)]))
                guard count > 0 else { return }
            }
        }
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    package var pid: Int32 { process.processIdentifier }
    package var isRunning: Bool { process.isRunning }
    package var output: String { changed.withLock { String(decoding: collected, as: UTF8.self) } }

    package func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    /// Waits for the end; kills after `timeout` seconds.
    /// - Returns: the exit status, or 128 + signal.
    @discardableResult
    package func wait(timeout: Double = 60) throws -> Int32 {
        if !wait(timeout, until: { hasEnded }) {
            kill(process.processIdentifier, SIGKILL)
            throw Failure(description: "still running after \(timeout) s: \(output.suffix(2000))")
        }
        return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    }

    /// Waits for the last bytes of an ended process; a grandchild may hold its pipe open.
    package func drain() { _ = wait(2, until: { isDrained }) }

    /// Waits until the output holds `words`, or the process has ended and all is read.
    /// - Returns: whether it holds them.
    package func says(_ words: String, within seconds: Double = 5) -> Bool {
        let wanted = Data(words.utf8)
        _ = wait(seconds, until: { collected.range(of: wanted) != nil || hasEnded && isDrained })
        return changed.withLock { collected.range(of: wanted) != nil }
    }

    private func append(_ data: Data) {
        change {
            $0.collected.append(data)
            $0.isDrained = data.isEmpty
        }
    }

    private func change(_ body: (RunningProcess) -> Void) {
        changed.withLock {
            body(self)
            changed.broadcast()
        }
    }

    /// - Returns: whether `condition` came to hold.
    private func wait(_ seconds: Double, until condition: () -> Bool) -> Bool {
        let limit = Date().addingTimeInterval(seconds)
        return changed.withLock {
            while !condition() {
                if !changed.wait(until: limit) { return condition() }
            }
            return true
        }
    }

    /// Runs to the end.
    /// - Returns: exit status and everything it said.
    package static func run(
        _ executable: String,
        _ arguments: [String],
        environment: [String: String] = [:],
        input: String? = nil,
        timeout: Double = 60
    ) throws -> (status: Int32, output: String) {
        let process = try RunningProcess(executable, arguments, environment: environment, input: input)
        let status = try process.wait(timeout: timeout)
        process.drain()
        return (status, process.output)
    }
}

/// Waits until `condition` holds, looking every few milliseconds.
package func eventually(
    within seconds: Double = 15,
    _ what: String,
    _ condition: () throws -> Bool
) throws {
    let limit = Date().addingTimeInterval(seconds)
    while try !condition() {
        if Date() > limit { throw RunningProcess.Failure(description: "not within \(seconds) s: \(what)") }
        usleep(5_000)
    }
}

/// Processes that have not ended: what a static property holds is never freed, and must not outlive the tests.
private final class Living: @unchecked Sendable {  // Guarded by the lock.
    static let shared = Living()

    private let lock = NSLock()
    private var pids: Set<Int32> = []

    private init() {
        atexit {
            for pid in Living.shared.lock.withLock({ Living.shared.pids }) { kill(pid, SIGKILL) }
        }
    }

    func add(_ pid: Int32) { _ = lock.withLock { pids.insert(pid) } }

    func remove(_ pid: Int32) { _ = lock.withLock { pids.remove(pid) } }
}
