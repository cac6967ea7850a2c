internal import Glibc

/// Looks up users and groups of this machine by name (getpwnam(3), getgrnam(3)). Reads files, may block: for starting.
package enum ServiceUsers {
    package struct User: Sendable, Equatable {
        package let uid: UInt32
        /// The primary group.
        package let gid: UInt32
    }

    /// - Parameter name: a user name, or a number.
    /// - Throws: ``HostError`` `.notFound` or `.system`.
    package static func user(named name: String) throws(HostError) -> User {
        var found: User?
        let failure = withGrowingBuffer { buffer, count in
            var entry = passwd()
            var result: UnsafeMutablePointer<passwd>?
            let status = getpwnam_r(name, &entry, buffer, count, &result)
            if result != nil { found = User(uid: entry.pw_uid, gid: entry.pw_gid) }
            return status
        }
        if let found { return found }
        if let number = number(name) {
            var user = User(uid: number, gid: number)
            _ = withGrowingBuffer { buffer, count in
                var entry = passwd()
                var result: UnsafeMutablePointer<passwd>?
                let status = getpwuid_r(number, &entry, buffer, count, &result)
                if result != nil { user = User(uid: number, gid: entry.pw_gid) }
                return status
            }
            return user
        }
        throw missing("user", name, failure)
    }

    /// - Parameter name: a group name, or a number.
    /// - Returns: its gid.
    /// - Throws: ``HostError`` `.notFound` or `.system`.
    package static func group(named name: String) throws(HostError) -> UInt32 {
        var found: UInt32?
        let failure = withGrowingBuffer { buffer, count in
            var entry = Glibc.group()
            var result: UnsafeMutablePointer<Glibc.group>?
            let status = getgrnam_r(name, &entry, buffer, count, &result)
            if result != nil { found = entry.gr_gid }
            return status
        }
        if let found = found ?? number(name) { return found }
        throw missing("group", name, failure)
    }

    /// All digits, and not the reserved -1.
    private static func number(_ name: String) -> UInt32? {
        guard !name.isEmpty, name.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt32(name).flatMap { $0 == .max ? nil : $0 }
    }

    private static func missing(_ kind: String, _ name: String, _ failure: Int32) -> HostError {
        // getpwnam(3) lists what implementations return for "no such name".
        [0, ENOENT, ESRCH, EBADF, EPERM].contains(failure)
            ? HostError(.notFound, "there is no \(kind) \(name) on this machine")
            : .system("cannot look up the \(kind) \(name)", failure)
    }

    private static func withGrowingBuffer(_ body: (UnsafeMutablePointer<CChar>, Int) -> Int32) -> Int32 {
        var count = 1024
        while true {
            let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: count)
            defer { buffer.deallocate() }
            let status = body(buffer, count)
            guard status == ERANGE, count < 1 << 20 else { return status }
            count *= 4
        }
    }
}
