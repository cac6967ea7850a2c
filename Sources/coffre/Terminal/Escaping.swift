/// Text from outside, safe to show: whatever could move the cursor, recolour, reorder or hide becomes `\u{HEX}`.
///
/// Control, format (bidirectional overrides, zero width), line and paragraph separators, private use and unassigned
/// code points are escaped; a backslash is doubled so that the escape is reversible.
func escapedForTerminal(_ text: String) -> String {
    var out = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        switch scalar.properties.generalCategory {
        case _ where scalar == "\\": out.append(contentsOf: "\\\\".unicodeScalars)
        case _ where scalar == "\n": out.append(contentsOf: "\\n".unicodeScalars)
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
            out.append(contentsOf: "\\u{\(String(scalar.value, radix: 16, uppercase: true))}".unicodeScalars)
        default: out.append(scalar)
        }
    }
    return String(out)
}
