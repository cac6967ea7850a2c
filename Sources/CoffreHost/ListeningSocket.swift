internal import CCoffreShims
internal import Glibc

/// A Unix stream socket that listens: inherited from systemd or bound to a path of our own.
///
/// Owns its descriptor until ``release()``.
package struct ListeningSocket: ~Copyable, Sendable {
    private var descriptor: Int32
    /// The file that was made here; nil for an inherited socket, whose path belongs to systemd.
    private let file: BoundSocketFile?

    /// Adopts a descriptor that already listens, such as one of ``InheritedSockets``.
    /// - Throws: ``HostError`` `.wrongKind` when it is not a listening AF_UNIX SOCK_STREAM socket.
    package init(adopting descriptor: Int32) throws(HostError) {
        guard Self.option(descriptor, SO_DOMAIN) == AF_UNIX,
            Self.option(descriptor, SO_TYPE) == coffre_sock_stream,
            Self.option(descriptor, SO_ACCEPTCONN) == 1
        else { throw HostError(.wrongKind, "descriptor \(descriptor) is not a listening Unix stream socket") }
        try Self.prepare(descriptor)
        self.init(descriptor: descriptor, file: nil)
    }

    /// Binds `path`, at most 107 bytes (unix(7)), and listens.
    ///
    /// A socket file that nobody listens on is replaced; one that answers is not. Mode and group are set before listen(2),
    /// so nobody connects under others.
    /// - Throws: ``HostError`` `.alreadyListening`, `.wrongKind` (something else lies at `path`), `.tooLarge`, `.system`.
    package init(path: String, mode: UInt32 = 0o660, group: UInt32? = nil, backlog: Int32 = 4096) throws(HostError) {
        var address = try Self.address(path)
        try Self.clearStale(path, &address)
        let descriptor = coffre_unix_stream_socket(0)
        guard descriptor >= 0 else { throw .system("cannot make a socket", -descriptor) }
        var file = stat()
        do throws(HostError) {
            // Linux gives the file the mode of the socket, less the umask. The umask belongs to the whole process.
            guard fchmod(descriptor, 0) == 0 else { throw .system("cannot close the socket to others", errno) }
            let bound = Self.withAddress(&address) { bind(descriptor, $0, $1) }
            guard bound == 0 else { throw .system("cannot bind \(path)", errno) }
            if let group, lchown(path, uid_t.max, group) != 0 { throw .system("cannot give \(path) its group", errno) }
            guard chmod(path, mode) == 0 else { throw .system("cannot set the mode of \(path)", errno) }
            guard lstat(path, &file) == 0 else { throw .system("cannot look at \(path)", errno) }
            try Self.prepare(descriptor)
            guard listen(descriptor, backlog) == 0 else { throw .system("cannot listen on \(path)", errno) }
        } catch {
            close(descriptor)
            throw error
        }
        self.init(
            descriptor: descriptor,
            file: BoundSocketFile(path: path, device: UInt64(file.st_dev), inode: UInt64(file.st_ino))
        )
    }

    private init(descriptor: Int32, file: BoundSocketFile?) {
        self.descriptor = descriptor
        self.file = file
    }

    /// Hands the descriptor to the caller, who closes it, with what removes the file afterwards.
    package consuming func release() -> (descriptor: Int32, file: BoundSocketFile?) {
        let result = (descriptor: descriptor, file: file)
        descriptor = -1
        return result
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        file?.remove()
    }

    private static func option(_ descriptor: Int32, _ name: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }

    private static func prepare(_ descriptor: Int32) throws(HostError) {
        let flags = fcntl(descriptor, F_GETFL)
        guard flags >= 0, fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0,
            fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0
        else { throw .system("cannot prepare the listening socket", errno) }
    }

    private static func address(_ path: String) throws(HostError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, !bytes.contains(0), bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw HostError(.tooLarge, "a socket path holds 1 to 107 bytes: \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    private static func withAddress<R>(
        _ address: inout sockaddr_un,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
    ) -> R {
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    private static func clearStale(_ path: String, _ address: inout sockaddr_un) throws(HostError) {
        var file = stat()
        guard lstat(path, &file) == 0 else {
            if errno == ENOENT { return }
            throw .system("cannot look at \(path)", errno)
        }
        guard file.st_mode & S_IFMT == S_IFSOCK else {
            throw HostError(.wrongKind, "\(path) exists and is not a socket: move it away")
        }
        let probe = coffre_unix_stream_socket(1)
        guard probe >= 0 else { throw .system("cannot make a socket", -probe) }
        defer { close(probe) }
        let connected = withAddress(&address) { connect(probe, $0, $1) }
        let failure = errno
        // EAGAIN: its backlog is full, so somebody listens. Only a refusal says that nobody does.
        guard connected != 0, failure == ECONNREFUSED else {
            if connected == 0 || failure == EAGAIN {
                throw HostError(.alreadyListening, "another process already listens on \(path)")
            }
            throw .system("cannot tell whether anybody listens on \(path)", failure)
        }
        guard unlink(path) == 0 || errno == ENOENT else { throw .system("cannot replace the stale \(path)", errno) }
    }
}

/// The file of a socket that was bound here; removed only while it is still the same file.
package struct BoundSocketFile: Sendable {
    package let path: String
    fileprivate let device: UInt64
    fileprivate let inode: UInt64

    package func remove() {
        var file = stat()
        guard lstat(path, &file) == 0, UInt64(file.st_dev) == device, UInt64(file.st_ino) == inode else { return }
        unlink(path)
    }
}
