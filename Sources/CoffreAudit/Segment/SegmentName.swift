/// Where a segment lies: `seg/2026/11/22/000000184000.jsonl`, its seal beside it with `.seal`.
struct SegmentName: Sendable, Equatable {
    static let root = "seg"
    /// Sequence number of the first record.
    let first: UInt64
    /// `2026/11/22`.
    let day: String

    var folder: String { "\(Self.root)/\(day)" }
    var path: String { "\(folder)/\(stem).jsonl" }
    var sealPath: String { "\(folder)/\(stem).seal" }

    private var stem: String {
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
        let name: SegmentName
        let isSealed: Bool
    }

    /// All segments of a log, by their numbers.
    /// - Throws: ``AuditError`` `.damaged` for a file that does not belong there, a seal without its segment, or two
    ///   segments with one number; `.system`.
    static func list(_ files: any LogFileSystem) throws(AuditError) -> [Listed] {
        var days: [(day: String, names: [String])] = []
        do throws(FileFailure) {
            guard try files.identity(of: root) != nil else { return [] }
            for year in try files.names(in: root).sorted() {
                for month in try files.names(in: "\(root)/\(year)").sorted() {
                    for day in try files.names(in: "\(root)/\(year)/\(month)").sorted() {
                        let folder = "\(year)/\(month)/\(day)"
                        days.append((folder, try files.names(in: "\(root)/\(folder)")))
                    }
                }
            }
        } catch {
            throw error.asAuditError
        }
        var segments: [Listed] = []
        for (day, names) in days {
            var seals = Set<UInt64>()
            var data: [SegmentName] = []
            for file in names where !file.hasSuffix(".new") {
                let parts = file.split(separator: ".", maxSplits: 1)
                guard parts.count == 2, let name = SegmentName(stem: parts[0], day: day),
                    parts[1] == "jsonl" || parts[1] == "seal"
                else {
                    throw .damaged(segment: "\(root)/\(day)/\(file)", record: nil, reason: "not a file of the log")
                }
                if parts[1] == "seal" { seals.insert(name.first) } else { data.append(name) }
            }
            for name in data { segments.append(Listed(name: name, isSealed: seals.remove(name.first) != nil)) }
            if let orphan = seals.min() {
                throw .damaged(
                    segment: "\(root)/\(day)",
                    record: orphan,
                    reason: "a seal stands there without its segment"
                )
            }
        }
        segments.sort { $0.name.first < $1.name.first }
        for (left, right) in zip(segments, segments.dropFirst()) where left.name.first == right.name.first {
            throw .damaged(segment: right.name.path, record: nil, reason: "another segment has the same number")
        }
        return segments
    }
}
