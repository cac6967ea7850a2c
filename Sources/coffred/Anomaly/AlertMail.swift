internal import CoffreCrypto
internal import CoffreHost
internal import CoffreInsight
internal import CoffreWire

/// An alert as a mail (RFC 5322, RFC 2045): one text in English and French. Sent again, it has the same Message-ID.
struct AlertMail {
    let message: [UInt8]

    /// - Parameter origin: the log's name.
    init(_ alert: Alert, origin: String, from: String, to recipients: [String]) {
        let domain = from.split(separator: "@").last.map(String.init) ?? "localhost"
        let records = alert.records.map(String.init).joined(separator: " ")
        let wish: (name: String, subject: String, command: String)? =
            switch alert.subject {
            case .approval: ("approval", "an approval is asked for", "coffre approval list")
            case .consent: ("consent", "a connection needs a new consent", "coffre rotation status")
            case .incident, .budget, .summary, .mute: nil
            }
        let name = wish?.name ?? alert.kind?.rawValue ?? "alerts"
        let identity = alert.actor.hasPrefix("s-") ? "coffre audit who \(Self.clean(alert.actor))" : ""
        let commands =
            wish.map { [$0.command, identity] }
            ?? ["coffre anomaly explain \(alert.incident)", "coffre anomaly ack \(alert.incident)", identity]
        let time = InsightTime.text(alert.time)
        let text = """
            \(Self.clean(alert.english)).

            Severity:  \(alert.severity.rawValue)
            Kind:      \(name)
            Identity:  \(Self.clean(alert.actor))
            Time:      \(time)
            Incident:  \(alert.incident)
            Records:   \(records.isEmpty ? "-" : records)
            Log:       \(origin)

            \(commands.filter { !$0.isEmpty }.joined(separator: "\n"))

            --
            \(Self.clean(alert.french)).

            Gravité :    \(Self.french(alert.severity))
            Type :       \(name)
            Identité :   \(Self.clean(alert.actor))
            Heure :      \(time)
            Incident :   \(alert.incident)
            Journal :    \(origin), enregistrements \(records.isEmpty ? "-" : records)

            """
        let message = "anomaly-\(alert.number)-\(alert.incident)-\(Self.tag(origin))"
        let lines =
            [
                "Date: \(HeadMail.date(alert.time / 1_000_000_000))", "From: Coffre <\(from)>",
                "To: \(recipients.joined(separator: ",\r\n "))",
                wish.map { "Subject: Coffre: \($0.subject) (record \(alert.incident))" }
                    ?? "Subject: Coffre: \(alert.severity.rawValue) \(name) (incident \(alert.incident))",
                "Message-ID: <\(message)@\(domain)>", "MIME-Version: 1.0", "Auto-Submitted: auto-generated",
                "X-Coffre-Incident: \(alert.incident)", "Content-Type: text/plain; charset=utf-8",
                "Content-Transfer-Encoding: base64", "",
            ] + HeadMail.base64(Array(text.utf8))
        self.message = lines.flatMap { Array($0.utf8) + [0x0d, 0x0a] }
    }

    /// Nothing that moves a cursor or turns the direction of a line.
    private static func clean(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator: "?"
                    default: scalar
                    }
                }
            )
        )
    }

    private static func french(_ severity: Finding.Severity) -> String {
        switch severity {
        case .medium: "moyenne"
        case .high: "élevée"
        case .critical: "critique"
        }
    }

    /// 8 hex digits that tell logs apart.
    private static func tag(_ origin: String) -> String {
        Hex.encode(Array(origin.utf8).withUnsafeBytes { SHA256.hash($0) }.bytes.prefix(4).map { $0 })
    }
}

/// An alert as JSON for a web server, signed: `X-Coffre-Signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA-256 over the decimal
/// seconds, a full stop and the body.
struct AlertHook {
    let body: [UInt8]
    let signature: String

    init(_ alert: Alert, origin: String, key: HMACKey, at seconds: Int64 = WallClock.seconds) {
        body = JSONValue.object([
            .init("type", .string("anomaly.\(Self.name(alert.subject))")), .init("number", .integer(alert.number)),
            .init("incident", .integer(alert.incident)), .init("time", .string(InsightTime.text(alert.time))),
            .init("severity", .string(alert.severity.rawValue)),
            .init("kind", alert.kind.map { .string($0.rawValue) } ?? .null), .init("actor", .string(alert.actor)),
            .init("reason", .string(alert.french)), .init("reason_en", .string(alert.english)),
            .init("records", .array(alert.records.map { .integer($0) })), .init("origin", .string(origin)),
        ]).encoded()
        let signed = Array("\(seconds).".utf8) + body
        let tag = signed.withUnsafeBytes { bytes in key.authenticate { update in update(bytes) } }
        signature = "t=\(seconds),v1=\(Hex.encode(tag.bytes))"
    }

    private static func name(_ subject: Alert.Subject) -> String {
        switch subject {
        case .incident: "incident"
        case .budget: "budget"
        case .summary: "summary"
        case .mute: "mute"
        case .approval: "approval"
        case .consent: "consent"
        }
    }
}
