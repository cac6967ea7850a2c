import CoffreTestSupport
import Foundation
import Glibc

/// A TCP server that accepts everything and gives nothing, or a byte at a time.
final class SilentServer: @unchecked Sendable {  // What changes is guarded by the lock.
    let port: UInt16
    private let descriptor: Int32
    private let lock = NSLock()
    private var accepted = 0

    /// - Parameters:
    ///   - bytesASecond: how many of `bytes` each client gets per second, 0 or 1.
    ///   - bytes: then zeros.
    init(bytesASecond: Int, _ bytes: [UInt8] = [0x53]) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
        }
        guard bound == 0, listen(descriptor, 64) == 0 else {
            throw RunningProcess.Failure(description: "no silent server: \(errno)")
        }
        var length = size
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        self.descriptor = descriptor
        port = UInt16(bigEndian: address.sin_port)
        let listener = descriptor
        Thread.detachNewThread { [weak self] in
            var clients: [(descriptor: Int32, sent: Int)] = []
            var next = ContinuousClock.now
            while true {
                var request = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
                if poll(&request, 1, 200) > 0 {
                    let client = accept(listener, nil, nil)
                    guard client >= 0 else { return }
                    clients.append((client, 0))
                    self?.count()
                }
                guard bytesASecond > 0, ContinuousClock.now >= next else { continue }
                next = ContinuousClock.now + .seconds(1)
                for index in clients.indices {
                    var byte = clients[index].sent < bytes.count ? bytes[clients[index].sent] : 0
                    clients[index].sent += 1
                    _ = send(clients[index].descriptor, &byte, 1, Int32(MSG_NOSIGNAL))
                }
            }
        }
    }

    /// Clients that have come so far.
    var clients: Int { lock.withLock { accepted } }

    private func count() { lock.withLock { accepted += 1 } }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
