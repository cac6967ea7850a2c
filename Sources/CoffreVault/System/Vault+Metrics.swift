internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire
internal import Glibc

/// Plain counters of this process, since its start.
struct VaultCounters: Sendable {
    var granted: UInt64 = 0
    var denied: UInt64 = 0
    var failed: UInt64 = 0
    var limited: UInt64 = 0
    var changes: UInt64 = 0
    var jobs: UInt64 = 0
    var failedJobs: UInt64 = 0
    var logFailures: UInt64 = 0

    mutating func count(_ outcome: AuditDraft.Outcome) {
        switch outcome {
        case .granted: granted &+= 1
        case .denied: denied &+= 1
        case .rateLimited: limited &+= 1
        default: failed &+= 1
        }
    }
}

extension Vault {
    private struct Metric {
        let name: String
        let type: String
        let help: String
        let values: [(labels: String, value: String)]

        init(_ name: String, _ type: String, _ help: String, _ value: some BinaryInteger) {
            self.init(name, type, help, [("", String(value))])
        }

        init(_ name: String, _ type: String, _ help: String, _ values: [(labels: String, value: String)]) {
            self.name = "coffre_" + name
            self.type = type
            self.help = help
            self.values = values
        }
    }

    /// `sys/metrics`: Prometheus text (version 0.0.4), or JSON.
    func metricsEndpoint(_ context: RequestContext) -> Endpoint {
        let what = AuditWhat(path: "sys/metrics")
        guard context.verb == .get else { return .unsupported(what, .read) }
        return .read(.sysRead, what, .capability(.read)) { vault, context in
            let metrics = try vault.metrics()
            guard context.query("format") == "prometheus" else {
                let gauges = metrics.flatMap { metric in
                    metric.values.map { item -> JSONValue in
                        [
                            "Name": .string(metric.name), "Value": .number(item.value),
                            "Labels": .string(item.labels), "Type": .string(metric.type),
                        ]
                    }
                }
                return Effect(.raw(["Timestamp": .string(context.now.rfc3339), "Gauges": .array(gauges)]))
            }
            var text = ""
            for metric in metrics {
                text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.type)\n"
                for item in metric.values {
                    text += metric.name + (item.labels.isEmpty ? "" : "{\(item.labels)}") + " \(item.value)\n"
                }
            }
            var reply = Reply.raw(ResponseBody(Array(text.utf8)))
            reply.headers = [.init(name: "Content-Type", value: "text/plain; version=0.0.4")]
            return Effect(reply)
        }
    }

    private func metrics() throws -> [Metric] {
        guard let state = unsealed else { throw VaultError.sealed }
        let health = audit.health
        let now = clock.monotonic()
        var states: [LeaseRecord.State: Int] = [:]
        var stuck = 0
        for name in try barrier.names(in: .lease, parent: BarrierKey.unfinishedLeases).prefix(1000) {
            guard let lease = try lease(String(decoding: name, as: UTF8.self)) else { continue }
            states[lease.state, default: 0] += 1
            if lease.attempts >= 3 { stuck += 1 }
        }
        return [
            Metric(
                "requests_total",
                "counter",
                "Requests by outcome.",
                [
                    ("outcome=\"granted\"", "\(counters.granted)"), ("outcome=\"denied\"", "\(counters.denied)"),
                    ("outcome=\"error\"", "\(counters.failed)"),
                    ("outcome=\"rate_limited\"", "\(counters.limited)"),
                ]
            ),
            Metric("changes_total", "counter", "Requests that changed something.", counters.changes),
            Metric("audit_records", "gauge", "Durable records of the audit log.", health.size),
            Metric(
                "audit_checkpoint_records",
                "gauge",
                "Records of the audit log that its newest signed checkpoint covers.",
                health.checkpointSize
            ),
            Metric("audit_writable", "gauge", "1 while the audit log can be written.", health.isWritable ? 1 : 0),
            Metric("audit_disk_free_bytes", "gauge", "Bytes left on the audit log's disk.", health.disk.freeBytes),
            Metric(
                "audit_disk_state",
                "gauge",
                "0 normal, 1 warning, 2 alarm, 3 critical: secrets are refused, 4 emergency.",
                health.disk.level.rawValue
            ),
            Metric(
                "audit_failures_total",
                "counter",
                "Answers withheld because no record could be written.",
                counters.logFailures
            ),
            Metric("storage_generation", "gauge", "Number of the last durable transaction.", barrier.generation ?? 0),
            Metric("barrier_term", "gauge", "Number of the current barrier key.", barrier.termUse?.term ?? 0),
            Metric(
                "barrier_encryptions",
                "gauge",
                "Encryptions under the current barrier key.",
                barrier.termUse?.encryptions ?? 0
            ),
            Metric(
                "leases_unfinished",
                "gauge",
                "Leases that are being made or taken back (up to 1000 are counted).",
                [
                    ("state=\"preparing\"", "\(states[.preparing] ?? 0)"),
                    ("state=\"revoking\"", "\(states[.revoking] ?? 0)"),
                ]
            ),
            Metric("leases_stuck", "gauge", "Revocations that failed three times or more.", stuck),
            Metric("revocations_waiting", "gauge", "Revocations in line.", state.waitingRevocations.count),
            Metric("entities", "gauge", "People and services known.", state.identity.entities.count),
            Metric("groups", "gauge", "Teams known.", state.identity.groups.count),
            Metric("mounts", "gauge", "Engines and auth methods.", state.mounts.mounts.count),
            Metric("policies", "gauge", "Policies stored.", state.policies.count),
            Metric("broker_jobs_total", "counter", "Jobs given to the broker.", counters.jobs),
            Metric("broker_job_failures_total", "counter", "Jobs that failed.", counters.failedJobs),
            Metric("answers_waiting", "gauge", "Answers that wait for their record.", waitingAnswers),
            Metric("uptime_seconds", "gauge", "Seconds since the start.", (now &- startedAt) / 1_000_000_000),
            Metric("resident_memory_bytes", "gauge", "Resident memory.", Self.residentMemory()),
        ] + anomalyMetrics
    }

    private var anomalyMetrics: [Metric] {
        (configuration.anomalies?.metrics() ?? []).map { metric in
            Metric(
                "anomaly_" + metric.name,
                metric.isCounter ? "counter" : "gauge",
                metric.help,
                metric.values.map { ($0.labels, "\($0.value)") }
            )
        }
    }

    /// From /proc/self/statm (proc(5)), in bytes; 0 where it cannot be read.
    private static func residentMemory() -> Int {
        let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return 0 }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 128)
        let count = read(file, &text, text.count)
        guard count > 0 else { return 0 }
        let fields = text[..<count].split(separator: 0x20)
        let pages = fields.count > 1 ? Int(String(decoding: fields[1], as: UTF8.self)) ?? 0 : 0
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
