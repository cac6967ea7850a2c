internal import CSystemd
internal import Glibc
package import Logging

/// A swift-log handler for operators: the journal under systemd, one line on standard error elsewhere.
///
/// The journal gets the metadata as fields of their own (`COFFRE_PATH=…`), so that `journalctl COFFRE_UNIT=…` finds them.
package struct JournalLogHandler: LogHandler {
    /// Where lines go.
    package enum Destination: Sendable {
        /// sd_journal_sendv(3).
        case journal
        /// A descriptor for people, normally standard error.
        case text(descriptor: Int32)

        /// The journal when standard error is connected to it (systemd.exec(5), `$JOURNAL_STREAM`), otherwise standard
        /// error.
        package static func detect() -> Destination {
            guard let value = getenv("JOURNAL_STREAM") else { return .text(descriptor: STDERR_FILENO) }
            var file = stat()
            guard fstat(STDERR_FILENO, &file) == 0, String(cString: value) == "\(file.st_dev):\(file.st_ino)" else {
                return .text(descriptor: STDERR_FILENO)
            }
            return .journal
        }
    }

    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let identifier: String
    private let destination: Destination

    /// - Parameters:
    ///   - label: the logger's name.
    ///   - identifier: `SYSLOG_IDENTIFIER`, the program's name.
    package init(label: String, identifier: String, level: Logger.Level = .info, destination: Destination = .detect()) {
        self.label = label
        self.identifier = identifier
        self.destination = destination
        logLevel = level
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error { all["error"] = "\(error)" }
        let pairs = all.map { ($0.key, "\($0.value)") }.sorted { $0.0 < $1.0 }
        switch destination {
        case .journal: Self.send(journalFields(event, pairs))
        case .text(let descriptor):
            let line = textLine(event, pairs)
            line.withUnsafeBytes { _ = write(descriptor, $0.baseAddress, $0.count) }
        }
    }

    /// The journal's fields, each `NAME=value`; a value may hold any byte.
    package func journalFields(_ event: LogEvent, _ pairs: [(String, String)]) -> [[UInt8]] {
        let described = pairs.map { " \($0.0)=\($0.1)" }.joined()
        var fields = [
            "MESSAGE=\(event.message)\(described)",
            "PRIORITY=\(Self.priority(event.level))",
            "SYSLOG_IDENTIFIER=\(identifier)",
            "COFFRE_LOGGER=\(label)",
        ]
        fields += pairs.map { "COFFRE_\(Self.fieldName($0.0))=\($0.1)" }
        return fields.map { Array($0.utf8) }
    }

    /// `2026-11-23T17:20:00Z info coffred: message key=value`, one line whatever the values hold.
    package func textLine(_ event: LogEvent, _ pairs: [(String, String)]) -> [UInt8] {
        var text = "\(Self.timestamp()) \(event.level) \(identifier): \(event.message)"
        for (key, value) in pairs { text += " \(key)=\(value)" }
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if byte < 0x20 || byte == 0x7F {
                bytes += Array(byte == 0x0A ? "\\n".utf8 : "?".utf8)
            } else {
                bytes.append(byte)
            }
        }
        bytes.append(0x0A)
        return bytes
    }

    /// syslog(3) severities.
    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// systemd.journal-fields(7): capital letters, digits and underscores.
    private static func fieldName(_ key: String) -> String {
        String(
            decoding: key.utf8.prefix(50).map { byte in
                switch byte {
                case 0x61...0x7A: byte - 0x20
                case 0x41...0x5A, 0x30...0x39: byte
                default: 0x5F
                }
            },
            as: UTF8.self
        )
    }

    private static func timestamp() -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { buffer in
            let count = strftime(buffer.baseAddress, 32, "%Y-%m-%dT%H:%M:%SZ", &parts)
            return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    private static func send(_ fields: [[UInt8]]) {
        let joined = fields.flatMap { $0 }
        joined.withUnsafeBytes { bytes in
            var vectors: [iovec] = []
            var offset = 0
            for field in fields {
                let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress)?.advanced(by: offset)
                vectors.append(iovec(iov_base: start, iov_len: field.count))
                offset += field.count
            }
            // A journal that cannot take a line is no reason to stop the service.
            _ = sd_journal_sendv(vectors, Int32(vectors.count))
        }
    }
}
