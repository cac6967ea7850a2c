import ArgumentParser
import CoffreWire
import Glibc

/// How results are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case table
    case json
}

/// Standard output for results, standard error for everything else. Colours only on a terminal.
struct Console: Sendable {
    let format: OutputFormat
    let language: Language
    let hasColours: Bool

    init(format: OutputFormat, language: Language) {
        self.format = format
        self.language = language
        let refused = environmentValue("NO_COLOR") != nil || environmentValue("TERM") == "dumb"
        hasColours = isatty(STDOUT_FILENO) == 1 && !refused
    }

    /// Bytes as they are. What cannot be written ends the program with a sentence and an exit status.
    func write(_ bytes: [UInt8]) {
        do throws(Failure) { try StandardOutput.write(bytes) } catch {
            note(error.message)
            exit(error.status.rawValue)
        }
    }

    func line(_ text: String) {
        write(Array(text.utf8) + [0x0a])
    }

    func line(_ message: Message) {
        line(message.text(language))
    }

    /// A confirmation: nothing in JSON, where the absence of an error says it.
    func confirm(_ message: Message) {
        if format == .table { line(message) }
    }

    /// A sentence on standard error.
    func note(_ message: Message) {
        _ = writeAll(Array("coffre: \(message.text(language))\n".utf8), to: STDERR_FILENO)
    }

    func warn(_ warnings: [String]) {
        for warning in warnings {
            note(Message("warning: \(escapedForTerminal(warning))", "avertissement : \(escapedForTerminal(warning))"))
        }
    }

    func json(_ value: JSONValue) {
        write(prettyJSON(value))
    }

    /// One value for another program: no newline is added unless a terminal shows it.
    func raw(_ value: JSONValue) {
        let bytes = value.string.map { Array($0.utf8) } ?? value.encoded()
        write(isatty(STDOUT_FILENO) == 1 ? bytes + [0x0a] : bytes)
    }

    /// Aligned columns under a bold header.
    func table(_ header: [String], _ rows: [[String]]) {
        let widths = header.indices.map { column in
            max(header[column].count, rows.map { $0[column].count }.max() ?? 0)
        }
        let render = { (cells: [String]) in
            cells.enumerated().map { index, cell in
                index == cells.count - 1 ? cell : cell + String(repeating: " ", count: widths[index] - cell.count)
            }.joined(separator: "  ")
        }
        line(bold(render(header)))
        for row in rows { line(render(row)) }
    }

    /// The members of an object as key and value.
    func members(_ value: JSONValue) {
        let rows = (value.members ?? []).map { [escapedForTerminal($0.key), Self.cell($0.value)] }
        let header = [Message("Key", "Clé"), Message("Value", "Valeur")].map { $0.text(language) }
        table(header, rows)
    }

    /// A number of bytes in a unit that people can read: 512 B, 1.4 MiB, 3.0 GiB; in French 1,4 Mio.
    func byteSize(_ bytes: Int64) -> String {
        let sign = bytes < 0 ? "-" : ""
        let bytes = bytes.magnitude
        let units = [Message("KiB", "Kio"), Message("MiB", "Mio"), Message("GiB", "Gio"), Message("TiB", "Tio")]
        guard bytes >= 1 << 10 else { return "\(sign)\(bytes) " + Message("B", "o").text(language) }
        var tenths = bytes / 1024 * 10 + bytes % 1024 * 10 / 1024
        var unit = 0
        while tenths >= 10_240, unit < units.count - 1 {
            tenths /= 1024
            unit += 1
        }
        let point = Message(".", ",").text(language)
        return "\(sign)\(tenths / 10)\(point)\(tenths % 10) \(units[unit].text(language))"
    }

    func bold(_ text: String) -> String { hasColours ? "\u{1b}[1m\(text)\u{1b}[0m" : text }
    func red(_ text: String) -> String { hasColours ? "\u{1b}[31m\(text)\u{1b}[0m" : text }
    func yellow(_ text: String) -> String { hasColours ? "\u{1b}[33m\(text)\u{1b}[0m" : text }
    func green(_ text: String) -> String { hasColours ? "\u{1b}[32m\(text)\u{1b}[0m" : text }

    /// A value in a cell: strings without quotes, lists of strings joined, everything else as JSON.
    static func cell(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): escapedForTerminal(text)
        case .null: "-"
        case .array(let values) where values.allSatisfy({ $0.string != nil }):
            escapedForTerminal(values.compactMap(\.string).joined(separator: ", "))
        default: escapedForTerminal(String(decoding: value.encoded(), as: UTF8.self))
        }
    }
}

/// A variable of the environment.
func environmentValue(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// Writes everything; false with `errno` set otherwise.
func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if written < 0 && errno == EINTR { continue }
        guard written >= 0 else { return false }
        rest = rest.dropFirst(written)
    }
    return true
}
