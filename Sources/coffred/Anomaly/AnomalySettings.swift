internal import CoffreHost
internal import CoffreInsight
internal import CoffreWire

/// `[anomaly]` of coffre.toml(5): who is told when somebody behaves unlike itself, and what becomes of its requests.
struct AnomalySettings: Sendable {
    var isEnabled = true
    var context = InsightContext()
    var book = IncidentBook.Settings()
    /// Kinds whose actor is slowed down, or refused, while its incident is open.
    var slow: Set<Finding.Kind> = []
    var hold: Set<Finding.Kind> = []
    /// Where that counts: paths, or with a star at the end their beginnings; everywhere when empty.
    var paths: [String] = []
    var slowMilliseconds = 2000
    var mail: MailSettings?
    var webhook: WebTarget?
    /// Name in `$CREDENTIALS_DIRECTORY` of the key that signs what goes to the webhook.
    var webhookCredential = ""

    private static let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    private static let mostPaths = 100

    init() {}

    /// - Throws: ``ConfigurationError`` with the line.
    init(_ file: inout ConfigurationFile) throws(ConfigurationError) {
        isEnabled = try file.flag("anomaly.enabled") ?? isEnabled
        if let text = try file.text("anomaly.utc_offset") {
            guard let offset = Self.offset(text) else {
                throw file.error("anomaly.utc_offset", "takes hours and minutes east of Greenwich, such as \"+01:00\"")
            }
            context.utcOffset = offset
        }
        book.utcOffset = context.utcOffset
        if let names = try file.texts("anomaly.weekend") {
            let places = names.compactMap { Self.days.firstIndex(of: $0) }
            guard places.count == names.count, places.count < 7 else {
                throw file.error("anomaly.weekend", "takes days in English, such as [\"friday\", \"saturday\"]")
            }
            context.weekend = Set(places)
        }
        for path in try Self.paths(&file, "anomaly.sensitive") {
            let mount = String(path.prefix { $0 != "/" })
            guard mount != "connectors" else {
                throw file.error("anomaly.sensitive", "names secrets of kv and other engines, not connections")
            }
            context.sensitive.append(InsightContext.Secret(connector: mount, path: path))
        }
        book.alertsPerDay = try file.integer("anomaly.alerts_per_day", in: 1...1000) ?? book.alertsPerDay
        book.noted = try Self.kinds(&file, "anomaly.note")
        slow = try Self.answerable(&file, "anomaly.slow")
        hold = try Self.answerable(&file, "anomaly.hold")
        book.answered = slow.union(hold)
        paths = try Self.paths(&file, "anomaly.paths")
        slowMilliseconds = try file.integer("anomaly.slow_milliseconds", in: 100...30_000) ?? slowMilliseconds
        mail = try MailSettings(&file, "anomaly")
        webhook = try file.target("anomaly.webhook")
        webhookCredential = try file.text("anomaly.webhook_credential") ?? ""
        guard !webhookCredential.utf8.contains(0x2f), !webhookCredential.hasPrefix(".") else {
            throw file.error("anomaly.webhook_credential", "takes the name of a credential, without slashes")
        }
        guard (webhook == nil) == webhookCredential.isEmpty else {
            throw file.error(
                webhook == nil ? "anomaly.webhook_credential" : "anomaly.webhook",
                "webhook and webhook_credential belong together: what is sent there is signed"
            )
        }
    }

    /// `+01:00` to seconds.
    private static func offset(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 6, bytes[0] == 0x2b || bytes[0] == 0x2d, bytes[3] == 0x3a else { return nil }
        let digits = [bytes[1], bytes[2], bytes[4], bytes[5]].map { Int64($0) - 0x30 }
        guard digits.allSatisfy({ (0...9).contains($0) }) else { return nil }
        let (hours, minutes) = (digits[0] * 10 + digits[1], digits[2] * 10 + digits[3])
        guard hours <= 14, minutes < 60 else { return nil }
        return (bytes[0] == 0x2d ? -1 : 1) * (hours * 3600 + minutes * 60)
    }

    private static func kinds(
        _ file: inout ConfigurationFile,
        _ key: String
    ) throws(ConfigurationError) -> Set<Finding.Kind> {
        var kinds: Set<Finding.Kind> = []
        for name in try file.texts(key) ?? [] {
            guard let kind = Finding.Kind(rawValue: name) else {
                let all = Finding.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                throw file.error(key, "knows no kind \"\(name)\"; there are: \(all)")
            }
            kinds.insert(kind)
        }
        return kinds
    }

    /// Kinds that are about an identity: of the others nobody's requests could be answered otherwise.
    private static func answerable(
        _ file: inout ConfigurationFile,
        _ key: String
    ) throws(ConfigurationError) -> Set<Finding.Kind> {
        let kinds = try kinds(&file, key)
        for kind in [Finding.Kind.deniedBurst, .clockIncident, .logIncident, .rightsDiffer] where kinds.contains(kind) {
            throw file.error(key, "cannot take \"\(kind.rawValue)\", which is about no identity")
        }
        return kinds
    }

    private static func paths(_ file: inout ConfigurationFile, _ key: String) throws(ConfigurationError) -> [String] {
        let paths = try file.texts(key) ?? []
        guard paths.count <= mostPaths, paths.allSatisfy({ (1...512).contains($0.utf8.count) && !$0.hasPrefix("/") })
        else {
            throw file.error(
                key,
                "takes at most \(mostPaths) paths without a slash in front, such as \"secret/payroll/*\""
            )
        }
        // A star elsewhere would be taken for a letter, and match nothing.
        for path in paths where path.dropLast().contains("*") || key == "anomaly.sensitive" && path.hasSuffix("*") {
            throw file.error(
                key,
                key == "anomaly.sensitive"
                    ? "names secrets one by one, without a star" : "takes a star at the end alone"
            )
        }
        return paths
    }
}
