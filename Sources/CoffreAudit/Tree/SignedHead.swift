internal import CoffreCrypto
internal import Glibc

/// The newest checkpoint of a log, with its signatures checked.
package struct SignedHead: Sendable, Equatable {
    /// The log's name.
    package let origin: String
    /// Records that it covers.
    package let size: UInt64
    /// RFC 6962 root over them, base64.
    package let rootHash: String
    /// The C2SP signed note.
    package let note: [UInt8]

    init(origin: String, size: UInt64, rootHash: String, note: [UInt8]) {
        self.origin = origin
        self.size = size
        self.rootHash = rootHash
        self.note = note
    }

    /// Of a note that this log has signed itself.
    init?(note: [UInt8], origin: String) {
        let lines = note.split(separator: 0x0a, maxSplits: 3, omittingEmptySubsequences: false)
        guard lines.count == 4 else { return nil }
        let text = lines[..<3].flatMap { $0 + [0x0a] }
        guard let checkpoint = Checkpoint(text: text, origin: origin) else { return nil }
        self.init(checkpoint, origin: origin, note: note)
    }

    /// When the file was written, in microseconds since 1970; nil when there is none.
    package static func time(directory: String) -> Int64? {
        var status = stat()
        guard stat(directory + "/" + Checkpoint.path, &status) == 0 else { return nil }
        return Int64(status.st_mtim.tv_sec) * 1_000_000 + Int64(status.st_mtim.tv_nsec) / 1000
    }

    /// Reads it from a log's folder, or from a copy.
    /// - Parameter trustedKeys: the content of `log.vkey` as known from elsewhere; nil trusts the one in the folder.
    /// - Throws: ``AuditError`` `.damaged` when it is not signed by both keys, `.unsafePath`, `.system`,
    ///   `.invalidConfiguration` when there is none yet.
    package static func newest(directory: String, trustedKeys: [UInt8]? = nil) throws(AuditError) -> SignedHead {
        let files = PosixFileSystem(root: directory, isReader: true)
        try files.prepareRoot(create: false)
        return try newest(files, trustedKeys: trustedKeys)
    }

    /// As ``newest(directory:trustedKeys:)``, from any file system.
    package static func newest(
        _ files: any LogFileSystem,
        trustedKeys: [UInt8]? = nil
    ) throws(AuditError) -> SignedHead {
        do throws(FileFailure) {
            let text = try files.contents(of: LogIdentity.path, limit: 2048)
            guard let text, let identity = LogIdentity(text), trustedKeys == nil || trustedKeys == text else {
                throw FileFailure(call: "keys", path: LogIdentity.path, errno: 0)
            }
            guard let note = try files.contents(of: Checkpoint.path, limit: Checkpoint.maximumBytes) else {
                throw FileFailure(call: "none", path: Checkpoint.path, errno: 0)
            }
            let (epochs, defect) = try EpochChain.load(files, identity)
            if let defect { throw FileFailure(call: "epochs \(defect.reason)", path: defect.file, errno: 0) }
            guard let checkpoint = Checkpoint(note: note, epochs: epochs) else {
                throw FileFailure(call: "signature", path: Checkpoint.path, errno: 0)
            }
            return SignedHead(
                origin: identity.origin,
                size: checkpoint.size,
                rootHash: Base64.encode(checkpoint.root.bytes),
                note: note
            )
        } catch {
            switch error.call {
            case let call where call.hasPrefix("epochs "):
                throw .damaged(segment: error.path, record: nil, reason: String(call.dropFirst(7)))
            case "keys":
                throw .damaged(
                    segment: error.path,
                    record: nil,
                    reason: trustedKeys == nil ? "it is missing or not two keys" : "unknown log: its keys are not yours"
                )
            case "signature":
                throw .damaged(segment: error.path, record: nil, reason: "it is not signed with both keys of this log")
            case "none":
                throw .invalidConfiguration(reason: "this log has none yet; one is written within a second of a record")
            default: throw error.asAuditError
            }
        }
    }
}
