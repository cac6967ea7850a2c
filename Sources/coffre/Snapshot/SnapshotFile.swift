import CoffreStorage
import CoffreWire
import Glibc

/// A snapshot in a file, read from its beginning to its end.
final class SnapshotFile: Sendable {
    let path: String
    private let descriptor: Int32

    /// - Throws: ``Failure`` when it cannot be opened, or is no plain file.
    init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let reason = String(cString: strerror(errno))
            throw Failure("cannot read \(path): \(reason)", "lecture impossible de \(path) : \(reason)")
        }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw Failure("\(path) is not a plain file", "\(path) n'est pas un fichier ordinaire")
        }
    }

    deinit { close(descriptor) }

    /// Checks the whole file.
    /// - Parameter database: gets the bytes of the database, in order.
    /// - Throws: ``Failure``, or what `database` throws.
    func check(database: (UnsafeRawBufferPointer) throws -> Void = { _ in }) throws -> SnapshotReader.Ending {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        var checker = SnapshotChecker()
        var offset = 0
        do {
            while true {
                let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else {
                    let reason = String(cString: strerror(errno))
                    throw Failure("cannot read \(path): \(reason)", "lecture impossible de \(path) : \(reason)")
                }
                if count == 0 { break }
                try checker.feed(UnsafeRawBufferPointer(rebasing: buffer[..<count]), database: database)
                offset += count
            }
            return try checker.finish()
        } catch let error as SnapshotError {
            throw Failure(error, path)
        }
    }

    /// Puts the snapshot's database into a state folder that no daemon uses, marked so that the vault starts in hold mode.
    /// - Parameter force: also over a database of another vault, or one that cannot be read.
    /// - Returns: the manifest, and the path of the database that was there.
    /// - Throws: ``Failure``. Nothing has changed then.
    func install(in folder: String, force: Bool) throws -> (manifest: SnapshotManifest, kept: String?) {
        signal(SIGXFSZ, SIG_IGN)
        do {
            let replacement = try DatabaseReplacement(folder: folder)
            defer { replacement.discard() }
            let descriptor = try replacement.makeFile()
            let ending: SnapshotReader.Ending
            do {
                defer { close(descriptor) }
                ending = try check { try Self.write($0, to: descriptor, folder) }
                guard fsync(descriptor) == 0 else { throw Self.cannotWrite(folder) }
            }
            let meta = try replacement.verify(marker: ending.manifestBytes)
            let seal = (try? JSONValue(parsing: meta[.seal] ?? [])) ?? .null
            guard seal["vault"]?.string == ending.manifest.vault, seal["type"]?.string == ending.manifest.sealType,
                meta[.keyring] != nil, meta[.transaction] != nil
            else { throw Failure(SnapshotError("its database is not the one of its manifest"), path) }
            try Self.admit(replacement.present(), ending.manifest, force, folder)
            let kept = try replacement.install(suffix: UTCTime.compact(Int64(time(nil))))
            return (ending.manifest, kept)
        } catch let error as StorageError {
            throw Failure(error.message, error.message, error.code == .alreadyOpen ? .unavailable : .error)
        }
    }

    private static func admit(
        _ present: DatabaseReplacement.Present,
        _ manifest: SnapshotManifest,
        _ force: Bool,
        _ folder: String
    ) throws {
        switch present {
        case .none, .readable(seal: nil): return
        case .readable(let seal?):
            let vault = (try? JSONValue(parsing: seal))?["vault"]?.string
            guard force || vault == manifest.vault else {
                throw Failure(
                    "\(folder) holds another vault: --force replaces it (it is kept beside)",
                    "\(folder) contient un autre coffre : --force le remplace (il est gardé à côté)",
                    .usage
                )
            }
        case .unreadable:
            guard force else {
                throw Failure(
                    "the database in \(folder) cannot be read: --force replaces it (it is kept beside)",
                    "la base dans \(folder) est illisible : --force la remplace (elle est gardée à côté)",
                    .usage
                )
            }
        }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ folder: String) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw cannotWrite(folder) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    private static func cannotWrite(_ folder: String) -> Failure {
        let reason = String(cString: strerror(errno))
        return Failure("cannot write in \(folder): \(reason)", "écriture impossible dans \(folder) : \(reason)")
    }
}
