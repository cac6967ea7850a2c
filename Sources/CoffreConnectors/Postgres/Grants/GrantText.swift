internal import CoffreWire

/// A plan and what is accepted as JSON (RFC 8259), the form in which the server's own functions take lists apart.
enum GrantText {
    /// An array of `{"s": schema, "t": table, "r": …, "i": …, "u": …, "d": …}`: verbs are `false`, `true` or a list.
    static func plan(_ plan: GrantPlan) -> String {
        var text = "["
        for table in plan.tables {
            if text.utf8.count > 1 { text += "," }
            text += "{\"s\":\(quote(table.schema)),\"t\":\(quote(table.name)),\"r\":\(columns(table.read))"
            text += ",\"i\":\(columns(table.insert)),\"u\":\(columns(table.update)),\"d\":\(table.delete)}"
        }
        return text + "]"
    }

    /// An array of `{"k": kind, "o": object or null}`.
    static func accepted(_ plan: GrantPlan) -> String {
        let items = plan.accepted.map { "{\"k\":\(quote($0.kind.name)),\"o\":\($0.object.map(quote) ?? "null")}" }
        return "[" + items.joined(separator: ",") + "]"
    }

    private static func columns(_ columns: GrantPlan.Columns) -> String {
        switch columns {
        case .none: "false"
        case .all: "true"
        case .only(let names): "[" + names.map(quote).joined(separator: ",") + "]"
        }
    }

    static func quote(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\0"..."\u{1f}": result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
