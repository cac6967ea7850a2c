/// The segments that a log has at one moment, by their numbers: the one place where readers of single records open them.
struct LogSegments {
    let files: any LogFileSystem
    let all: [SegmentName.Listed]

    init(_ files: any LogFileSystem) throws(AuditError) {
        self.files = files
        // What was pruned is a gap: nothing can be read there.
        all = try SegmentName.list(files).filter { $0.data != .none }
    }

    /// The first record that is still there.
    var first: UInt64 { all.first?.name.first ?? 0 }

    func open(_ index: Int) throws(FileFailure) -> any LogFile {
        try files.openSegment(all[index].name)
    }

    /// The segment that begins with a record.
    func index(first: UInt64) -> Int? {
        guard let index = index(holding: first), all[index].name.first == first else { return nil }
        return index
    }

    /// The last segment that begins at a record or before it.
    func index(holding sequence: UInt64) -> Int? {
        var (low, high) = (0, all.count)
        while low < high {
            let middle = (low + high) / 2
            if all[middle].name.first <= sequence { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? low - 1 : nil
    }
}
