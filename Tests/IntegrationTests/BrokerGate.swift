import CoffreTestSupport
import CoffreWire
import Foundation
import Glibc

/// A man in the middle of coffred and coffre-broker: it sees every frame, and decides what goes on.
///
/// Both sides take it for the other, because both check the user behind the socket and the test runs as that user.
final class BrokerGate: @unchecked Sendable {  // Guarded by the lock.
    enum Direction: Sendable {
        case toBroker
        case toVault
    }

    /// Sees a frame whole; gives the frames to send on in its place.
    typealias Hook = @Sendable (BrokerFrame.Kind, Direction, [UInt8]) -> [[UInt8]]

    private let lock = NSLock()
    private var hook: Hook = { [$2] }
    private let brokerSocket: String
    private let listener: Int32

    /// Listens at `path`, and connects to `broker` for each that comes.
    init(at path: String, broker: String) throws {
        brokerSocket = broker
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0, Self.withAddress(path, { bind(listener, $0, $1) }) == 0, listen(listener, 16) == 0 else {
            throw RunningProcess.Failure(description: "the gate cannot listen at \(path): errno \(errno)")
        }
        Thread.detachNewThread { [self] in
            while true {
                let vault = accept(listener, nil, nil)
                guard vault >= 0 else { return }
                serve(vault)
            }
        }
    }

    /// Sees the frames from now on.
    func watch(_ hook: @escaping Hook) { lock.withLock { self.hook = hook } }

    /// Lets everything pass again.
    func open() { watch { [$2] } }

    private func serve(_ vault: Int32) {
        let broker = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard Self.withAddress(brokerSocket, { connect(broker, $0, $1) }) == 0 else {
            close(broker)
            close(vault)
            return
        }
        Thread.detachNewThread { [self] in relay(vault, broker, .toBroker) }
        Thread.detachNewThread { [self] in relay(broker, vault, .toVault) }
    }

    /// Sends frames on until either side ends; then ends the other.
    private func relay(_ source: Int32, _ target: Int32, _ direction: Direction) {
        while let frame = Self.readFrame(source), let kind = BrokerFrame.Kind(rawValue: frame[5]) {
            let hook = lock.withLock { self.hook }
            for next in hook(kind, direction, frame) where !Self.write(next, target) { break }
        }
        // The descriptors stay open: their numbers must not name something else while the other thread runs.
        shutdown(source, Int32(SHUT_RDWR))
        shutdown(target, Int32(SHUT_RDWR))
    }

    private static func readFrame(_ descriptor: Int32) -> [UInt8]? {
        guard let length = read(4, descriptor) else { return nil }
        let count = length.reduce(0) { $0 << 8 | Int($1) }
        guard count >= 18, count <= BrokerFrame.maximumLength, let rest = read(count, descriptor) else { return nil }
        return length + rest
    }

    private static func read(_ count: Int, _ descriptor: Int32) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + done, count - done, 0) }
            guard got > 0 else { return nil }
            done += got
        }
        return bytes
    }

    private static func write(_ bytes: [UInt8], _ descriptor: Int32) -> Bool {
        var done = 0
        while done < bytes.count {
            let sent = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return false }
            done += sent
        }
        return true
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}
