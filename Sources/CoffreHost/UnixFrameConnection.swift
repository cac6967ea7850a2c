internal import CCoffreShims
internal import Glibc
internal import Synchronization

/// Why the Unix socket between coffred and coffre-broker failed. Messages are safe to log.
package struct UnixFrameError: Error, Sendable, Equatable {
    /// The closed list of causes.
    package enum Code: Sendable, Equatable {
        /// No socket there, or nobody behind it.
        case absent
        /// The process at the other end has another uid than it must.
        case wrongPeer
        /// The deadline passed.
        case timeout
        /// The other end went away in the middle.
        case closed
        /// A frame announces more than 1 MiB.
        case tooLong
        /// The path cannot be used: too long for a socket, no right, somebody else listens.
        case unusable
        /// Any other refusal of the system.
        case system
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    static func system(_ what: String, _ number: Int32) -> UnixFrameError {
        UnixFrameError(.system, "\(what): \(String(cString: strerror(number)))")
    }

    package static func == (left: Self, right: Self) -> Bool { left.code == right.code }
}

/// One AF_UNIX stream that carries frames of `length(4, big endian) ‖ that many bytes`, at most 1 MiB each.
///
/// Blocking, with a deadline on every call: use it from a thread of one's own, never from the cooperative pool. Several
/// threads may send; one receives. Closed with the last reference.
package final class UnixFrameConnection: Sendable {
    /// The largest value of the length field, in bytes.
    package static let maximumLength = 1 << 20

    private let descriptor: Int32
    private let sending = Mutex(())
    /// The uid at the other end when the connection was made (SO_PEERCRED, unix(7)).
    package let peerUID: UInt32

    /// Takes over `descriptor`, which must be a connected AF_UNIX stream.
    /// - Throws: ``UnixFrameError`` `.wrongPeer` unless the uid at the other end is `expectedUID`; it is closed then.
    package init(adopting descriptor: Int32, expectedUID: UInt32) throws(UnixFrameError) {
        self.descriptor = descriptor
        peerUID = UnixSocket.peerUID(descriptor) ?? UInt32.max
        guard peerUID == expectedUID, expectedUID != UInt32.max else {
            throw UnixFrameError(.wrongPeer, "the process behind the socket runs as another user than it must")
        }
    }

    deinit { Glibc.close(descriptor) }

    /// Connects to the socket at `path` and checks who listens there.
    /// - Throws: ``UnixFrameError`` `.absent`, `.wrongPeer`, `.timeout` (its backlog is full), `.unusable`, `.system`.
    package static func connect(
        path: String,
        expectedUID: UInt32,
        deadline: ContinuousClock.Instant
    ) throws(UnixFrameError) -> UnixFrameConnection {
        _ = try UnixSocket.withAddress(path) { _, _ in 0 }
        let descriptor = try UnixSocket.make()
        while true {
            let status = try UnixSocket.withAddress(path) { Glibc.connect(descriptor, $0, $1) }
            if status == 0 { return try UnixFrameConnection(adopting: descriptor, expectedUID: expectedUID) }
            let number = errno
            switch number {
            case EINTR: continue
            case EAGAIN where ContinuousClock.now < deadline:
                // A full backlog of an AF_UNIX listener is not pollable: connect(2) says EAGAIN, ask again in 10 ms.
                usleep(10_000)
                continue
            default: break
            }
            Glibc.close(descriptor)
            switch number {
            case ENOENT, ECONNREFUSED, ENOTDIR: throw UnixFrameError(.absent, "nobody listens at the broker's socket")
            case EAGAIN: throw UnixFrameError(.timeout, "the broker takes no more connections now")
            case EACCES, EPERM: throw UnixFrameError(.unusable, "no right to connect to the broker's socket")
            default: throw .system("connect", number)
            }
        }
    }

    /// Sends `frame` whole: length field and all that follows. Frames of several threads do not mix.
    /// - Throws: ``UnixFrameError`` `.timeout`, `.closed`, `.system`; the stream is lost then.
    package func send(_ frame: UnsafeRawBufferPointer, deadline: ContinuousClock.Instant) throws(UnixFrameError) {
        try sending.withLock { _ throws(UnixFrameError) in
            var sent = 0
            while sent < frame.count {
                let count = Glibc.send(
                    descriptor,
                    frame.baseAddress?.advanced(by: sent),
                    frame.count - sent,
                    Int32(MSG_NOSIGNAL)
                )
                if count > 0 {
                    sent += count
                    continue
                }
                switch errno {
                case EINTR: continue
                case EAGAIN: try UnixSocket.wait(descriptor, Int16(POLLOUT), deadline)
                case EPIPE, ECONNRESET: throw UnixFrameError(.closed, "the other end closed the connection")
                case let number: throw .system("send", number)
                }
            }
        }
    }

    /// Receives one frame and lends it, length field included, to `body`; the memory is wiped afterwards.
    /// - Returns: what `body` returns, or nil when the other end closed the connection between two frames.
    /// - Throws: ``UnixFrameError`` `.timeout`, `.closed` (in the middle of a frame), `.tooLong`, `.system`.
    package func receive<R>(
        deadline: ContinuousClock.Instant,
        _ body: (UnsafeRawBufferPointer) -> R
    ) throws(UnixFrameError) -> R? {
        let head = UnsafeMutableRawBufferPointer.allocate(byteCount: 4, alignment: 4)
        defer { head.deallocate() }
        let first = try fill(head, deadline)
        guard first > 0 else { return nil }
        guard first == 4 else { throw UnixFrameError(.closed, "the other end closed in the middle of a frame") }
        let length = head.reduce(0) { $0 << 8 | Int($1) }
        guard length <= Self.maximumLength else { throw UnixFrameError(.tooLong, "a frame announces more than 1 MiB") }
        let frame = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 + length, alignment: 16)
        defer {
            if let start = frame.baseAddress { explicit_bzero(start, frame.count) }
            frame.deallocate()
        }
        frame.copyMemory(from: UnsafeRawBufferPointer(head))
        let rest = try fill(UnsafeMutableRawBufferPointer(rebasing: frame[4...]), deadline)
        guard rest == length else { throw UnixFrameError(.closed, "the other end closed in the middle of a frame") }
        return body(UnsafeRawBufferPointer(frame))
    }

    /// Ends both directions: a thread that waits in ``receive(deadline:_:)`` returns.
    package func shutDown() { Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) }

    private func fill(
        _ buffer: UnsafeMutableRawBufferPointer,
        _ deadline: ContinuousClock.Instant
    ) throws(UnixFrameError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = recv(descriptor, buffer.baseAddress?.advanced(by: filled), buffer.count - filled, 0)
            if count > 0 {
                filled += count
                continue
            }
            if count == 0 { return filled }
            switch errno {
            case EINTR: continue
            case EAGAIN: try UnixSocket.wait(descriptor, Int16(POLLIN), deadline)
            case ECONNRESET: return filled
            case let number: throw .system("recv", number)
            }
        }
        return filled
    }
}

/// The few calls that connection and listener share.
enum UnixSocket {
    static func make() throws(UnixFrameError) -> Int32 {
        let descriptor = coffre_unix_stream_socket(1)
        guard descriptor >= 0 else { throw .system("socket", -descriptor) }
        return descriptor
    }

    /// - Throws: ``UnixFrameError`` `.unusable` for a path of 108 bytes or more, or with a NUL.
    static func withAddress(
        _ path: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(UnixFrameError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard (1..<MemoryLayout.size(ofValue: address.sun_path)).contains(path.utf8.count), !path.utf8.contains(0)
        else { throw UnixFrameError(.unusable, "the path of the socket is empty or longer than 107 bytes") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    /// The kernel's word on who is at the other end; nil when it gives none.
    static func peerUID(_ descriptor: Int32) -> UInt32? {
        // struct ucred of unix(7): pid, uid, gid, 32 bits each.
        var credentials: [UInt32] = [0, .max, .max]
        var length = socklen_t(12)
        let status = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length)
        return status == 0 && length == 12 ? credentials[1] : nil
    }

    static func wait(
        _ descriptor: Int32,
        _ events: Int16,
        _ deadline: ContinuousClock.Instant
    ) throws(UnixFrameError) {
        while true {
            let left = deadline - ContinuousClock.now
            guard left > .zero else { throw UnixFrameError(.timeout, "the other end did not answer in time") }
            let (seconds, attoseconds) = left.components
            let milliseconds = min(seconds, 3600) * 1000 + attoseconds / 1_000_000_000_000_000 + 1
            var request = pollfd(fd: descriptor, events: events, revents: 0)
            let ready = poll(&request, 1, Int32(milliseconds))
            if ready > 0 { return }
            if ready < 0, errno != EINTR { throw .system("poll", errno) }
        }
    }
}
