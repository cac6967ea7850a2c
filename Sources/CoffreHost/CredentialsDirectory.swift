internal import Glibc

/// Credentials that systemd placed for this service (systemd.exec(5), `LoadCredential=`).
package struct CredentialsDirectory: Sendable {
    /// The largest credential that is read, systemd's own bound.
    package static let maximumBytes = 1_048_576

    package let path: String

    package init(path: String) { self.path = path }

    /// `$CREDENTIALS_DIRECTORY`, nil when the service has none.
    package static func fromEnvironment() -> CredentialsDirectory? {
        guard let value = getenv("CREDENTIALS_DIRECTORY"), value.pointee != 0 else { return nil }
        return CredentialsDirectory(path: String(cString: value))
    }

    /// Whether a credential of that name lies there.
    package func contains(_ name: String) -> Bool {
        Self.isName(name) && access("\(path)/\(name)", F_OK) == 0
    }

    /// Lends the bytes of one credential for the length of `body`, in memory that is locked if possible and wiped before
    /// this returns.
    /// - Parameter name: a file name without a slash.
    /// - Throws: ``HostError`` `.notFound`, `.wrongKind` (not a regular file), `.tooLarge` (over 1 MiB), `.system`; or
    ///   what `body` throws.
    package func withCredential<R>(named name: String, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        guard Self.isName(name) else { throw HostError(.notFound, "\(name) is not the name of a credential") }
        let file = open("\(path)/\(name)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else {
            throw errno == ENOENT
                ? HostError(.notFound, "there is no credential \(name) in \(path): add LoadCredential= to the unit")
                : HostError.system("cannot open the credential \(name)", errno)
        }
        defer { close(file) }
        var information = stat()
        guard fstat(file, &information) == 0 else { throw HostError.system("cannot read \(name)", errno) }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw HostError(.wrongKind, "the credential \(name) is not a regular file")
        }
        guard information.st_size <= Self.maximumBytes else {
            throw HostError(.tooLarge, "the credential \(name) is larger than 1 MiB")
        }
        // One byte more than it should hold, so that growth is noticed.
        let capacity = Int(information.st_size) + 1
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 4096)
        let isLocked = mlock(memory.baseAddress, capacity) == 0
        defer {
            if let start = memory.baseAddress { explicit_bzero(start, capacity) }
            if isLocked { munlock(memory.baseAddress, capacity) }
            memory.deallocate()
        }
        var count = 0
        while count < capacity {
            let more = read(file, memory.baseAddress?.advanced(by: count), capacity - count)
            if more < 0 && errno == EINTR { continue }
            guard more >= 0 else { throw HostError.system("cannot read \(name)", errno) }
            if more == 0 { break }
            count += more
        }
        guard count < capacity else { throw HostError(.tooLarge, "the credential \(name) grew while it was read") }
        return try body(UnsafeRawBufferPointer(rebasing: memory[..<count]))
    }

    private static func isName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count) && name != "." && name != ".."
            && name.utf8.allSatisfy { $0 != 0x2F && $0 >= 0x20 && $0 != 0x7F }
    }
}
