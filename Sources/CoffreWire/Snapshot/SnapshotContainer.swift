/// The container of a snapshot: a plain tar archive of three files, so that anybody can look into it.
///
/// `manifest.json`, `coffre.db` and `SHA256SUMS` (which `sha256sum -c` checks), in the ustar form of POSIX.1-2017, pax,
/// "ustar Interchange Format". Each header has one form, padding is zero, and two zero blocks end the file.
package enum SnapshotContainer {
    package static let manifestName = "manifest.json"
    package static let databaseName = "coffre.db"
    package static let sumsName = "SHA256SUMS"

    /// Everything before the database's own bytes.
    package static func head(_ manifest: SnapshotManifest) -> [UInt8] {
        let text = manifest.encoded
        return TarFormat.header(manifestName, bytes: text.count, time: manifest.created) + text
            + TarFormat.padding(text.count)
            + TarFormat.header(databaseName, bytes: manifest.databaseBytes, time: manifest.created)
    }

    /// Everything after them.
    /// - Parameter manifestHash: SHA-256 of the manifest's bytes, 64 hex digits.
    package static func tail(_ manifest: SnapshotManifest, manifestHash: String) -> [UInt8] {
        let text = sums(manifest, manifestHash: manifestHash)
        return TarFormat.padding(manifest.databaseBytes)
            + TarFormat.header(sumsName, bytes: text.count, time: manifest.created) + text
            + TarFormat.padding(text.count) + TarFormat.end
    }

    /// The text of `SHA256SUMS`.
    package static func sums(_ manifest: SnapshotManifest, manifestHash: String) -> [UInt8] {
        Array("\(manifestHash)  \(manifestName)\n\(manifest.databaseHash)  \(databaseName)\n".utf8)
    }
}

/// Reads a snapshot from its first byte to its last, in pieces of any size; holds no more than a block of it.
///
/// Checks form and lengths. The caller hashes what it is lent and compares with ``Ending``.
package struct SnapshotReader {
    /// What the end of a whole snapshot tells.
    package struct Ending: Sendable {
        package let manifest: SnapshotManifest
        /// The exact bytes of `manifest.json`.
        package let manifestBytes: [UInt8]
        /// The exact bytes of `SHA256SUMS`.
        package let sums: [UInt8]
    }

    private enum Part {
        case manifestHeader
        case manifest(bytes: Int, time: Int64)
        case databaseHeader
        case database(left: Int)
        case databasePadding
        case sumsHeader
        case sums(bytes: Int)
        case endMark
        case over
    }

    private var part = Part.manifestHeader
    private var pending: [UInt8] = []
    /// Known once the head has been read.
    package private(set) var manifest: SnapshotManifest?
    private var manifestBytes: [UInt8] = []
    private var sumsBytes: [UInt8] = []

    package init() {}

    /// Reads the next bytes.
    /// - Parameter database: gets the bytes of `coffre.db`, in order.
    /// - Throws: ``SnapshotError``, or what `database` throws.
    package mutating func feed(
        _ bytes: UnsafeRawBufferPointer,
        database: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var rest = bytes
        while !rest.isEmpty {
            if case .database(let left) = part {
                let count = min(left, rest.count)
                try database(UnsafeRawBufferPointer(rebasing: rest[..<count]))
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                part = .database(left: left - count)
                if left == count { part = .databasePadding }
                if case .databasePadding = part, needed == 0 { part = .sumsHeader }
                continue
            }
            if case .over = part { throw SnapshotError("something follows its end") }
            let count = min(needed - pending.count, rest.count)
            pending.append(contentsOf: rest[..<count])
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            if pending.count == needed {
                let block = pending
                pending.removeAll(keepingCapacity: true)
                try take(block)
            }
        }
    }

    /// - Throws: ``SnapshotError`` when the end is missing.
    package func finish() throws(SnapshotError) -> Ending {
        guard case .over = part, let manifest else {
            throw SnapshotError("it is cut off: its end is missing")
        }
        return Ending(manifest: manifest, manifestBytes: manifestBytes, sums: sumsBytes)
    }

    /// Bytes that the part needs before it can be taken.
    private var needed: Int {
        switch part {
        case .manifestHeader, .databaseHeader, .sumsHeader: TarFormat.blockBytes
        case .manifest(let bytes, _), .sums(let bytes): bytes + TarFormat.padding(bytes).count
        case .databasePadding: TarFormat.padding(manifest?.databaseBytes ?? 0).count
        case .endMark: TarFormat.end.count
        case .database, .over: 0
        }
    }

    private mutating func take(_ block: [UInt8]) throws(SnapshotError) {
        switch part {
        case .manifestHeader:
            guard let entry = TarFormat.read(block, of: SnapshotContainer.manifestName),
                (2...SnapshotManifest.maximumBytes).contains(entry.bytes)
            else { throw SnapshotError("it does not begin like a snapshot of Coffre") }
            part = .manifest(bytes: entry.bytes, time: entry.time)
        case .manifest(let bytes, let time):
            try checkPadding(block[bytes...])
            manifestBytes = Array(block[..<bytes])
            let read = try SnapshotManifest(decoding: manifestBytes)
            guard read.created == time else { throw SnapshotError("its parts do not belong together") }
            manifest = read
            part = .databaseHeader
        case .databaseHeader:
            guard let manifest, let entry = TarFormat.read(block, of: SnapshotContainer.databaseName),
                entry.bytes == manifest.databaseBytes, entry.time == manifest.created
            else { throw SnapshotError("its database is not the one of its manifest") }
            part = .database(left: entry.bytes)
        case .databasePadding:
            try checkPadding(block[...])
            part = .sumsHeader
        case .sumsHeader:
            guard let manifest, let entry = TarFormat.read(block, of: SnapshotContainer.sumsName),
                (1...1024).contains(entry.bytes), entry.time == manifest.created
            else { throw SnapshotError("its list of hashes is missing") }
            part = .sums(bytes: entry.bytes)
        case .sums(let bytes):
            try checkPadding(block[bytes...])
            sumsBytes = Array(block[..<bytes])
            part = .endMark
        case .endMark:
            try checkPadding(block[...])
            part = .over
        case .database, .over: break
        }
    }

    private func checkPadding(_ bytes: ArraySlice<UInt8>) throws(SnapshotError) {
        guard bytes.allSatisfy({ $0 == 0 }) else { throw SnapshotError("there are bytes where none belong") }
    }
}
