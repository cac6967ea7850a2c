import CoffreWire

/// A record in a row: number, time, operation, outcome, who, what.
enum RecordSummary {
    /// Names of the columns, for programs: the same in every language.
    static let header = ["number", "time", "operation", "outcome", "who", "what"]

    static func cells(_ record: JSONValue) -> [String] {
        let who = record["who"]
        let what = record["what"]
        let name =
            who?["unit"] ?? who?["sid"] ?? who?["uid"].map { .string("uid \(Console.cell($0))") } ?? who?["kind"]
        let place = what?["path"] ?? what?["conn"] ?? what?["lease"]
        return [
            record["_s"], record["_t"], what?["op"], record["out"]?["code"] ?? record["ph"], name, place,
        ].map { $0.map(Console.cell) ?? "-" }
    }
}

/// Comma-separated values (RFC 4180) that no spreadsheet takes for a formula.
enum CSV {
    /// One line, CRLF included.
    static func line(_ cells: [String]) -> [UInt8] {
        Array(cells.map(cell).joined(separator: ",").utf8) + [0x0d, 0x0a]
    }

    private static func cell(_ text: String) -> String {
        let isFormula = text.utf8.first.map { [0x3d, 0x2b, 0x2d, 0x40, 0x09, 0x0d].contains($0) } ?? false
        let safe = isFormula && text != "-" ? "'" + text : text
        guard safe.utf8.contains(where: { [0x22, 0x2c, 0x0a, 0x0d].contains($0) }) else { return safe }
        return "\"" + safe.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
