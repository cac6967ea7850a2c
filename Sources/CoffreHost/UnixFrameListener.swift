internal import CCoffreShims
internal import Glibc
internal import Synchronization

/// The listening end of a socket that carries frames. Closed, and its file removed, with the last reference.
package final class UnixFrameListener: Sendable {
    private let descriptor: Int32
    private let ownPath = Mutex<String?>(nil)

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit {
        removeFile()
        Glibc.close(descriptor)
    }

    /// Takes over a listening socket that systemd passed.
    /// - Throws: ``UnixFrameError`` `.system`.
    package convenience init(adopting inherited: InheritedSocket) throws(UnixFrameError) {
        let flags = fcntl(inherited.descriptor, F_GETFL)
        guard flags >= 0, fcntl(inherited.descriptor, F_SETFL, flags | O_NONBLOCK) == 0 else {
            throw .system("fcntl", errno)
        }
        self.init(descriptor: inherited.descriptor)
    }

    /// Binds a socket at `path`, mode 0660, with the group of its folder where the process may give it that group.
    ///
    /// Nobody else gets in before the mode is set. The file of a process that is gone is replaced.
    /// - Throws: ``UnixFrameError`` `.unusable` when somebody listens there already or the path cannot be used.
    package static func bind(path: String) throws(UnixFrameError) -> UnixFrameListener {
        try removeStale(path)
        let descriptor = try UnixSocket.make()
        // The owner closes the descriptor on every way out, and removes the file only once it is ours.
        let listener = UnixFrameListener(descriptor: descriptor)
        // Linux gives the file the mode of the socket, less the umask. The umask belongs to the whole process.
        guard fchmod(descriptor, 0o600) == 0 else {
            throw UnixFrameError(.unusable, "cannot close the socket to others: \(String(cString: strerror(errno)))")
        }
        guard try UnixSocket.withAddress(path, { Glibc.bind(descriptor, $0, $1) }) == 0 else {
            throw UnixFrameError(.unusable, "cannot bind the socket: \(String(cString: strerror(errno)))")
        }
        listener.ownPath.withLock { $0 = path }
        var folder = stat()
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        if stat(parent.isEmpty ? "/" : parent, &folder) == 0 {
            // Refused unless the process is in that group; the folder's setgid bit is the other way to get there.
            _ = lchown(path, uid_t.max, folder.st_gid)
        }
        guard chmod(path, 0o660) == 0, Glibc.listen(descriptor, 32) == 0 else {
            throw UnixFrameError(.unusable, "cannot listen on the socket: \(String(cString: strerror(errno)))")
        }
        return listener
    }

    /// Waits for a connection.
    /// - Returns: nil when the deadline passed, or the listener was shut down.
    /// - Throws: ``UnixFrameError`` `.wrongPeer` when another uid than `expectedUID` connected (it is cut off), or
    ///   `.system`.
    package func accept(
        expectedUID: UInt32,
        deadline: ContinuousClock.Instant
    ) throws(UnixFrameError) -> UnixFrameConnection? {
        while true {
            let connection = Glibc.accept(descriptor, nil, nil)
            if connection >= 0 {
                // Nothing here starts another program, so close-on-exec may come a moment late.
                guard fcntl(connection, F_SETFD, FD_CLOEXEC) == 0, fcntl(connection, F_SETFL, O_NONBLOCK) == 0 else {
                    let number = errno
                    Glibc.close(connection)
                    throw .system("fcntl", number)
                }
                return try UnixFrameConnection(adopting: connection, expectedUID: expectedUID)
            }
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EINVAL: return nil
            case EAGAIN:
                do { try UnixSocket.wait(descriptor, Int16(POLLIN), deadline) } catch {
                    guard error.code == .timeout else { throw error }
                    return nil
                }
            case let number: throw .system("accept", number)
            }
        }
    }

    /// Removes the socket's file, if it is ours. Once.
    package func removeFile() {
        ownPath.withLock { path in
            if let path { unlink(path) }
            path = nil
        }
    }

    /// Refuses new connections; ``accept(expectedUID:deadline:)`` returns nil from then on.
    ///
    /// Does nothing to an inherited socket, which systemd holds too and would find dead.
    package func shutDown() {
        guard ownPath.withLock({ $0 != nil }) else { return }
        Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Removes the file at `path` when it is a socket that nobody listens on.
    private static func removeStale(_ path: String) throws(UnixFrameError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw UnixFrameError(.unusable, "something that is not a socket lies at the socket's path")
        }
        let probe = try UnixSocket.make()
        defer { Glibc.close(probe) }
        let answer = try UnixSocket.withAddress(path) { Glibc.connect(probe, $0, $1) }
        guard answer != 0, errno == ECONNREFUSED else {
            throw UnixFrameError(.unusable, "another process listens on the socket")
        }
        unlink(path)
    }
}
