import CoffreAudit
import Glibc

/// What the index costs, and what it gives.
struct QueryBench {
    private let folder: String

    init(_ folder: String) { self.folder = folder }

    func index() throws {
        let indexer = LogIndexer(directory: folder)
        try indexer.remove()
        let begin = ContinuousClock.now
        let count = try indexer.catchUp()
        let seconds = (ContinuousClock.now - begin).seconds
        var status = stat()
        stat(folder + "/" + LogIndexer.fileName, &status)
        report([
            "indexed": Double(count), "indexed_per_second": Double(count) / seconds,
            "index_bytes_per_record": Double(status.st_size) / Double(max(count, 1)), "resident_mib": residentMiB(),
        ])
    }

    /// The third week, for whom there is much and for whom there is little.
    func query() throws {
        let week: Int64 = 604_800_000_000
        let questions: [(String, (inout AuditQuery) -> Void)] = [
            ("busy_actor_week", { $0.filter.actor = LogGenerator.unit(0) }),
            ("usual_actor_week", { $0.filter.actor = LogGenerator.unit(30) }),
            ("person_week", { $0.filter.actor = LogGenerator.person(17) }),
            ("nobody_week", { $0.filter.actor = "nobody.service" }),
            ("path_week", { $0.filter.path = "secret/team-2/app-30/key-5" }),
            ("prefix_week", { $0.filter.path = "secret/team-2/*" }),
            ("denied_week", { $0.filter.outcome = .denied }),
            (
                "actor_denied_week",
                {
                    $0.filter.actor = LogGenerator.unit(30)
                    $0.filter.outcome = .denied
                }
            ), ("connector_week", { $0.filter.connector = "c-12" }),
        ]
        for (name, change) in questions {
            var query = AuditQuery()
            query.since = 1_767_571_200_000_000 + 2 * week
            query.until = query.since + week
            change(&query)
            var times: [Double] = []
            var count = 0
            for _ in 0..<20 {
                let begin = ContinuousClock.now
                count = try query.page(directory: folder).lines.count
                times.append((ContinuousClock.now - begin).milliseconds)
            }
            let first = times[0]
            times.sort()
            query.limit = 1000
            let begin = ContinuousClock.now
            var (all, next): (Int, UInt64?) = (0, 0)
            while let from = next {
                query.from = from
                let page = try query.page(directory: folder)
                if let reason = page.distrust { print("distrust: \(reason)") }
                all += page.lines.count
                next = page.next
            }
            let allMilliseconds = (ContinuousClock.now - begin).milliseconds
            print(name, terminator: " ")
            report([
                "page_records": Double(count), "page_ms_first": first, "page_ms_median": times[10],
                "page_ms_worst": times[19], "all_records": Double(all), "all_ms": allMilliseconds,
                "resident_mib": residentMiB(),
            ])
        }
    }

    func syncMicroseconds() throws -> Double {
        let path = folder + "/sync.probe"
        let file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
        guard file >= 0 else { return 0 }
        defer {
            close(file)
            unlink(path)
        }
        var times: [Double] = []
        let bytes = [UInt8](repeating: 0x61, count: 700)
        for _ in 0..<200 {
            _ = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
            let begin = ContinuousClock.now
            fdatasync(file)
            times.append((ContinuousClock.now - begin).milliseconds * 1000)
        }
        return times.sorted()[100]
    }
}
