import CoffreAudit
import Glibc

// audit-bench generate FOLDER RECORDS [WEEKS]   writes a log
// audit-bench tidy FOLDER                       compresses it, holds a day of it and prunes what is older than six months
// audit-bench verify FOLDER [JOBS]              verifies it
// audit-bench append FOLDER [SECONDS]           64 waiters append to a new log, each when its last record is durable
// audit-bench tail FOLDER                       leaves a new log as a killed daemon would, 64 MiB in its open segment
// audit-bench open FOLDER                       how long a start takes
// audit-bench index FOLDER                      makes its index anew
// audit-bench query FOLDER                      asks it as an officer would
// audit-bench sync FOLDER                       how long one fdatasync takes there
// Each prints one line of JSON.

let arguments = CommandLine.arguments.dropFirst()
do {
    switch (arguments.first, arguments.dropFirst().first) {
    case ("generate", let folder?):
        let records = arguments.dropFirst(2).first.flatMap { Int($0) } ?? 1_000_000
        let weeks = arguments.dropFirst(3).first.flatMap { Int($0) } ?? 12
        var generator = LogGenerator(directory: folder, records: records, weeks: weeks)
        report(["records": Double(records), "appended_per_second": try generator.run(), "resident_mib": residentMiB()])
    case ("tidy", let folder?): try LogBench(folder).tidy()
    case ("verify", let folder?):
        try LogBench(folder).verify(jobs: arguments.dropFirst(2).first.flatMap { Int($0) } ?? LogVerifier.allJobs)
    case ("append", let folder?):
        try LogBench(folder).append(seconds: arguments.dropFirst(2).first.flatMap { Int($0) } ?? 5)
    case ("tail", let folder?): try LogBench(folder).tail()
    case ("open", let folder?): try LogBench(folder).open()
    case ("index", let folder?): try QueryBench(folder).index()
    case ("query", let folder?): try QueryBench(folder).query()
    case ("sync", let folder?): report(["fdatasync_us_median": try QueryBench(folder).syncMicroseconds()])
    default:
        print("usage: audit-bench generate|tidy|verify|append|tail|open|index|query|sync FOLDER [N]...")
        exit(64)
    }
} catch {
    print("audit-bench: \(error)")
    exit(1)
}

/// One line of JSON, sorted by name.
func report(_ values: [String: Double]) {
    let members = values.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\(($0.value * 1000).rounded() / 1000)" }
    print("{" + members.joined(separator: ",") + "}")
}

/// The most memory that this process had, in MiB (getrusage(2): KiB).
func residentMiB() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_maxrss) / 1024
}
