import CoffreTestSupport
import Foundation
import Glibc

/// Stands between a job and a server, and misbehaves at a step: a step is one piece that the job sends.
final class PostgresProxy: @unchecked Sendable {  // State is guarded by the lock.
    enum Fault {
        /// The step does not arrive; from then on nothing does.
        case cutBefore(Int)
        /// The step arrives, its answer does not; from then on nothing does.
        case cutAfter(Int)
        /// From this step on the server's answers come a byte a second.
        case drip(Int)
    }

    let port: UInt16
    private let listener: Int32
    private let server: UInt16
    private let fault: Fault
    private let lock = NSLock()
    private var steps = 0
    private var isBroken = false
    private var open: Set<Int32> = []

    init(to server: UInt16, _ fault: Fault) throws {
        self.server = server
        self.fault = fault
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0
                    ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard status == 0 else { throw RunningProcess.Failure(description: "no proxy") }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [self] in accept() }
    }

    /// How many steps there were, and whether the fault came.
    var outcome: (steps: Int, isBroken: Bool) { lock.withLock { (steps, isBroken) } }

    /// Ends everything.
    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        lock.withLock { for descriptor in open { shutdown(descriptor, Int32(SHUT_RDWR)) } }
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    private func accept() {
        defer { close(listener) }
        while true {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0 else { return }
            guard !lock.withLock({ isBroken && !isDripping }) else {
                close(client)
                continue
            }
            let upstream = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Self.loopback(server)
            _ = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(upstream, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            lock.withLock { open.formUnion([client, upstream]) }
            Thread.detachNewThread { [self] in pump(client, upstream, isAsking: true) }
            Thread.detachNewThread { [self] in
                pump(upstream, client, isAsking: false)
                lock.withLock { open.subtract([client, upstream]) }
                close(client)
                close(upstream)
            }
        }
    }

    private var isDripping: Bool {
        guard case .drip = fault else { return false }
        return true
    }

    /// - Returns: whether the step may pass, and whether all ends after it.
    private func step() -> (passes: Bool, ends: Bool) {
        lock.withLock {
            steps += 1
            switch fault {
            case .cutBefore(let number) where steps == number: isBroken = true
            case .cutAfter(let number) where steps == number:
                isBroken = true
                return (true, true)
            case .drip(let number) where steps == number: isBroken = true
            default: return (true, false)
            }
            return (isDripping, !isDripping)
        }
    }

    private func pump(_ from: Int32, _ to: Int32, isAsking: Bool) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(from, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            if isAsking {
                let (passes, ends) = step()
                if passes { write(buffer[..<count], to) }
                guard !ends else { break }
            } else if lock.withLock({ isBroken }) {
                guard isDripping else { break }
                for byte in buffer[..<count] {
                    guard write([byte], to) else { break }
                    sleep(1)
                }
            } else {
                write(buffer[..<count], to)
            }
        }
        shutdown(from, Int32(SHUT_RDWR))
        shutdown(to, Int32(SHUT_RDWR))
    }

    @discardableResult
    private func write(_ bytes: ArraySlice<UInt8>, _ to: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(to, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
