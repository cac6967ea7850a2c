import CoffreCrypto
import CoffreWire

/// Writes the members of a proof bundle one after the other into a file, and remembers their hashes.
final class BundleArchive {
    /// Where everything lies when the archive is unpacked.
    static let folder = "coffre-audit/"
    /// The last member: what `sha256sum -c` checks.
    static let sumsName = "SHA256SUMS"

    private let file: PartialFile
    private let time: Int64
    private var sums = ""
    private var pending: [UInt8] = []

    /// - Parameter time: of every member, seconds since 1970.
    init(_ file: PartialFile, time: Int64) {
        self.file = file
        self.time = time
    }

    func add(_ name: String, _ content: [UInt8]) throws {
        var member = try begin(name, bytes: content.count)
        try content.withUnsafeBytes { try write($0, to: &member) }
        try end(member)
    }

    /// A member that is written in pieces.
    struct Member {
        let name: String
        let bytes: Int
        fileprivate var written = 0
        fileprivate var hash = SHA256()
    }

    /// - Throws: ``Failure`` when the file cannot be written or the archive cannot describe `bytes`.
    func begin(_ name: String, bytes: Int) throws -> Member {
        guard bytes <= TarFormat.maximumBytes else {
            throw Failure(
                "\(bytes >> 20) MiB of records are more than a bundle holds (8 GiB): export a shorter time",
                "\(bytes >> 20) Mio d'enregistrements dépassent un lot (8 Gio) : exportez une période plus courte",
                .usage
            )
        }
        try put(TarFormat.header(Self.folder + name, bytes: bytes, time: time))
        return Member(name: name, bytes: bytes)
    }

    func write(_ bytes: UnsafeRawBufferPointer, to member: inout Member) throws {
        member.hash.update(bytes)
        member.written += bytes.count
        pending.append(contentsOf: bytes)
        if pending.count >= 1 << 18 { try flush() }
    }

    func end(_ member: Member) throws {
        var member = member
        guard member.written == member.bytes else {
            throw Failure(
                "the log changed while it was exported: run the command again",
                "le journal a changé pendant l'export : relancez la commande"
            )
        }
        try put(TarFormat.padding(member.bytes))
        sums += "\(Hex.encode(member.hash.finish().bytes))  \(member.name)\n"
    }

    /// Writes the hashes of all members and the end mark.
    /// - Returns: SHA-256 of `SHA256SUMS`, which pins every member, 64 hex digits.
    func finish() throws -> String {
        let text = Array(sums.utf8)
        try add(Self.sumsName, text)
        try put(TarFormat.end)
        try flush()
        return Hex.encode(SHA256.hash(text).bytes)
    }

    private func put(_ bytes: [UInt8]) throws {
        pending += bytes
        if pending.count >= 1 << 18 { try flush() }
    }

    private func flush() throws {
        try pending.withUnsafeBytes { try file.write($0) }
        pending.removeAll(keepingCapacity: true)
    }
}
