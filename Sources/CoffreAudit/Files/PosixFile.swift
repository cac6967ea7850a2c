internal import CCoffreShims
internal import Glibc

/// Owns a file descriptor.
final class Descriptor: Sendable {
    let raw: Int32

    init(_ raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// Keeps the descriptor open while `body` uses it: a reference may go as soon as `raw` has been read.
    /// - Throws: errno, when `body` says false.
    func use(_ call: String, _ path: String, _ body: (Int32) -> Bool) throws(FileFailure) {
        let done = withExtendedLifetime(self) { body(raw) }
        guard done else { throw FileFailure(call: call, path: path, errno: errno) }
    }
}

extension FileIdentity {
    init(_ status: stat) {
        self.init(device: UInt64(status.st_dev), inode: UInt64(status.st_ino), links: UInt64(status.st_nlink))
    }
}

/// An open file of the log.
final class PosixFile: LogFile {
    let descriptor: Descriptor
    private let path: String

    init(_ descriptor: Descriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    private func failure(_ call: String) -> FileFailure { FileFailure(call: call, path: path, errno: errno) }

    func size() throws(FileFailure) -> Int {
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0 else { throw failure("fstat") }
        return Int(status.st_size)
    }

    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(FileFailure) -> Int {
        while true {
            let count = pread(descriptor.raw, target.baseAddress, target.count, off_t(offset))
            if count >= 0 { return count }
            guard errno == EINTR else { throw failure("pread") }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileFailure) -> Int {
        while true {
            let count = pwrite(descriptor.raw, bytes.baseAddress, bytes.count, off_t(offset))
            if count >= 0 { return count }
            guard errno == EINTR else { throw failure("pwrite") }
        }
    }

    func syncData() throws(FileFailure) {
        // No retry, not even after EINTR: an error of this call is reported once and says that data may be lost.
        guard fdatasync(descriptor.raw) == 0 else { throw failure("fdatasync") }
    }

    func sync() throws(FileFailure) {
        guard fsync(descriptor.raw) == 0 else { throw failure("fsync") }
    }

    func truncate(to length: Int) throws(FileFailure) {
        while ftruncate(descriptor.raw, off_t(length)) != 0 {
            guard errno == EINTR else { throw failure("ftruncate") }
        }
    }

    func allocate(_ length: Int, keepsSize: Bool) throws(FileFailure) {
        let code = withExtendedLifetime(descriptor) { coffre_allocate($0.raw, keepsSize ? 1 : 0, Int64(length)) }
        guard code == 0 else { throw FileFailure(call: "fallocate", path: path, errno: code) }
    }

    func identity() throws(FileFailure) -> FileIdentity {
        var status = stat()
        guard fstat(descriptor.raw, &status) == 0 else { throw failure("fstat") }
        return FileIdentity(status)
    }
}
