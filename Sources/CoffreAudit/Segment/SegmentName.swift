/// Where a segment lies: `seg/2026/11/22/000000184000.jsonl`, its seal beside it with `.seal`.
struct SegmentName: Sendable, Equatable {
    static let root = "seg"
    /// Sequence number of the first record.
    let first: UInt64
    /// `2026/11/22`.
    let day: String

    var folder: String { "\(Self.root)/\(day)" }
    var path: String { "\(folder)/\(stem).jsonl" }
    /// Once it is compressed.
    var packedPath: String { path + ".zst" }
    var sealPath: String { "\(folder)/\(stem).seal" }

    private var stem: String { Self.stem(first) }

    /// At least twelve digits.
    static func stem(_ first: UInt64) -> String {
        let digits = String(first)
        return String(repeating: "0", count: max(0, 12 - digits.utf8.count)) + digits
    }

    init(first: UInt64, time: RecordTime) {
        self.first = first
        day = time.folder
    }

    /// - Parameter stem: twelve digits or more, without leading zeros beyond twelve.
    private init?(stem: Substring, day: String) {
        guard stem.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let first = UInt64(stem) else { return nil }
        self.first = first
        self.day = day
        guard self.stem.utf8.elementsEqual(stem.utf8) else { return nil }
    }

    /// A segment as a folder lists it.
    struct Listed: Sendable {
        /// Which of its files are there.
        enum Data: Sendable {
            /// The lines.
            case raw
            /// The compressed lines.
            case packed
            /// Both: compression was interrupted, and the lines count.
            case both
            /// Neither: it was pruned, or somebody has taken it away.
            case none
        }

        let name: SegmentName
        var isSealed: Bool
        let data: Data
    }

    /// `2026/11/22`.
    private static func isDay(_ folder: String) -> Bool {
        let parts = folder.utf8.split(separator: 0x2f, omittingEmptySubsequences: false)
        return parts.map(\.count) == [4, 2, 2] && parts.joined().allSatisfy { (0x30...0x39).contains($0) }
    }

    /// All segments of a log, by their numbers.
    ///
    /// A seal without its segment is listed too: whoever reads on asks for the proof that it was pruned.
    /// - Throws: ``AuditError`` `.damaged` for a file that does not belong there, or two segments with one number;
    ///   `.system`.
    static func list(_ files: any LogFileSystem) throws(AuditError) -> [Listed] {
        var days: [(day: String, names: [String])] = []
        do throws(FileFailure) {
            guard try files.identity(of: root) != nil else { return [] }
            for year in try files.names(in: root).sorted() {
                for month in try files.names(in: "\(root)/\(year)").sorted() {
                    for day in try files.names(in: "\(root)/\(year)/\(month)").sorted() {
                        let folder = "\(year)/\(month)/\(day)"
                        guard isDay(folder) else {
                            throw FileFailure(call: "name", path: "\(root)/\(folder)", errno: 20)
                        }
                        days.append((folder, try files.names(in: "\(root)/\(folder)")))
                    }
                }
            }
        } catch {
            // ENOTDIR: a file where a folder must be.
            guard error.errno == 20 else { throw error.asAuditError }
            throw .damaged(segment: error.path, record: nil, reason: "not a folder of the log")
        }
        var segments: [Listed] = []
        for (day, names) in days {
            var found: [UInt64: (name: SegmentName, endings: Set<Substring>)] = [:]
            for file in names where !file.hasSuffix(".new") {
                let parts = file.split(separator: ".", maxSplits: 1)
                guard parts.count == 2, let name = SegmentName(stem: parts[0], day: day),
                    ["jsonl", "jsonl.zst", "seal"].contains(parts[1])
                else {
                    throw .damaged(segment: "\(root)/\(day)/\(file)", record: nil, reason: "not a file of the log")
                }
                found[name.first, default: (name, [])].endings.insert(parts[1])
            }
            for (name, endings) in found.values {
                let data: Listed.Data =
                    switch (endings.contains("jsonl"), endings.contains("jsonl.zst")) {
                    case (true, true): .both
                    case (true, false): .raw
                    case (false, true): .packed
                    case (false, false): .none
                    }
                segments.append(Listed(name: name, isSealed: endings.contains("seal"), data: data))
            }
        }
        segments.sort { $0.name.first < $1.name.first }
        for (left, right) in zip(segments, segments.dropFirst()) where left.name.first == right.name.first {
            throw .damaged(segment: right.name.path, record: nil, reason: "another segment has the same number")
        }
        return segments
    }
}

extension LogFileSystem {
    /// The lines of a segment, compressed or not.
    /// - Throws: ENOENT when there are none; see also ``CompressedFile``.
    func openSegment(_ name: SegmentName) throws(FileFailure) -> any LogFile {
        do throws(FileFailure) {
            return try open(name.path, writable: false)
        } catch {
            guard error.errno == 2 else { throw error }
        }
        return try CompressedFile(try open(name.packedPath, writable: false), path: name.packedPath)
    }
}
