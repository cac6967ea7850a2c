import CoffreWire

/// JSON for people and for `jq`: two spaces of indentation, members in the order of the server, digits untouched.
func prettyJSON(_ value: JSONValue) -> [UInt8] {
    var out: [UInt8] = []
    append(value, depth: 0, to: &out)
    out.append(0x0a)
    return out
}

private func append(_ value: JSONValue, depth: Int, to out: inout [UInt8]) {
    let line = { (depth: Int) in [UInt8(0x0a)] + [UInt8](repeating: 0x20, count: depth * 2) }
    switch value {
    case .array(let values) where !values.isEmpty:
        out.append(0x5b)
        for (index, element) in values.enumerated() {
            if index > 0 { out.append(0x2c) }
            out += line(depth + 1)
            append(element, depth: depth + 1, to: &out)
        }
        out += line(depth) + [0x5d]
    case .object(let members) where !members.isEmpty:
        out.append(0x7b)
        for (index, member) in members.enumerated() {
            if index > 0 { out.append(0x2c) }
            out += line(depth + 1) + JSONValue.quoted(member.key.utf8) + [0x3a, 0x20]
            append(member.value, depth: depth + 1, to: &out)
        }
        out += line(depth) + [0x7d]
    default:
        value.encode(into: &out)
    }
}
