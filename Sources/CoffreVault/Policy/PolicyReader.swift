/// Turns a policy's tree into rules.
enum PolicyReader {
    static func rules(_ root: PolicyNode) throws(PolicyError) -> [PolicyRule] {
        guard case .object(let members) = root else { throw PolicyError("a policy is an object") }
        var rules: [PolicyRule] = []
        for member in members {
            switch member.key {
            case "name": continue
            case "path": try append(member.value, line: member.line, to: &rules)
            default:
                throw PolicyError("invalid key \"\(member.key)\": a policy has path and name", line: known(member.line))
            }
        }
        return rules
    }

    private static func known(_ line: Int) -> Int? { line > 0 ? line : nil }

    private static func append(_ node: PolicyNode, line: Int, to rules: inout [PolicyRule]) throws(PolicyError) {
        switch node {
        case .object(let paths):
            for path in paths {
                if case .list(let blocks) = path.value {
                    for block in blocks { rules.append(try rule(path.key, block, line: path.line)) }
                } else {
                    rules.append(try rule(path.key, path.value, line: path.line))
                }
            }
        case .list(let nodes): for node in nodes { try append(node, line: line, to: &rules) }
        default: throw PolicyError("path is followed by a path in quotes and a block", line: known(line))
        }
    }

    private static func rule(_ path: String, _ node: PolicyNode, line: Int) throws(PolicyError) -> PolicyRule {
        guard case .object(let members) = node else {
            throw PolicyError("path \"\(path)\" is followed by a block", line: known(line))
        }
        var capabilities: Capability = []
        var expires: Int64?
        for member in members {
            let line = known(member.line)
            switch member.key {
            case "capabilities": capabilities.formUnion(try Self.capabilities(member.value, path: path, line: line))
            case "policy": capabilities.formUnion(try legacy(member.value, path: path, line: line))
            case "comment": continue
            case "expiration":
                guard case .string(let text) = member.value, let time = RFC3339.seconds(text) else {
                    throw PolicyError("expiration takes a time such as \"2027-01-31T00:00:00Z\"", line: line)
                }
                expires = time
            case "allowed_parameters", "denied_parameters", "required_parameters", "min_wrapping_ttl",
                "max_wrapping_ttl", "pagination_limit", "control_group", "list_scan_response_keys_filter_path":
                // A rule that is not enforced must not look as if it were.
                throw PolicyError("path \"\(path)\": \(member.key) is not enforced by this version", line: line)
            default: throw PolicyError("path \"\(path)\": invalid key \"\(member.key)\"", line: line)
            }
        }
        if capabilities.contains(.deny) { capabilities = .deny }
        return try pattern(path, capabilities, expires, line: known(line))
    }

    private static func pattern(
        _ path: String,
        _ capabilities: Capability,
        _ expires: Int64?,
        line: Int?
    ) throws(PolicyError) -> PolicyRule {
        var bytes = Array(path.utf8)
        if bytes.first == 0x2f { bytes.removeFirst() }
        guard bytes.count <= 4096 else { throw PolicyError("a path has at most 4096 bytes", line: line) }
        if bytes.ends(with: "+*".utf8) {
            throw PolicyError("path \"\(path)\": invalid use of wildcards ('+*' is forbidden)", line: line)
        }
        if path.contains("{{") {
            throw PolicyError("path \"\(path)\": templates are not available in this version", line: line)
        }
        let hasSegments = bytes.split(separator: 0x2f, omittingEmptySubsequences: false).contains {
            $0.elementsEqual([0x2b])
        }
        let isGlob = bytes.last == 0x2a
        if isGlob { bytes.removeLast() }
        let pattern: PolicyRule.Pattern = hasSegments ? .segments(endsInGlob: isGlob) : isGlob ? .prefix : .exact
        return PolicyRule(pattern: pattern, path: bytes, capabilities: capabilities, expires: expires)
    }

    private static func capabilities(_ node: PolicyNode, path: String, line: Int?) throws(PolicyError) -> Capability {
        guard case .list(let values) = node else {
            throw PolicyError("path \"\(path)\": capabilities is a list such as [\"read\", \"list\"]", line: line)
        }
        var result: Capability = []
        for value in values {
            guard case .string(let name) = value, let capability = Capability(name: name) else {
                var shown = "that"
                if case .string(let name) = value { shown = "'\(name)'" }
                throw PolicyError("path \"\(path)\": invalid capability \(shown)", line: line)
            }
            result.insert(capability)
        }
        return result
    }

    private static func legacy(_ node: PolicyNode, path: String, line: Int?) throws(PolicyError) -> Capability {
        guard case .string(let name) = node else {
            throw PolicyError("path \"\(path)\": policy takes deny, read, write or sudo", line: line)
        }
        switch name {
        case "deny": return .deny
        case "read": return [.read, .list]
        case "write": return [.create, .read, .update, .delete, .list]
        case "sudo": return [.create, .read, .update, .delete, .list, .sudo]
        default: throw PolicyError("path \"\(path)\": invalid policy '\(name)'", line: line)
        }
    }
}

extension [UInt8] {
    fileprivate func ends(with other: some Collection<UInt8>) -> Bool { suffix(other.count).elementsEqual(other) }
}

/// Times in policies.
enum RFC3339 {
    /// Seconds since 1970 of `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)`, nil for anything else.
    static func seconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.count <= 40, bytes[4] == 0x2d, bytes[7] == 0x2d, bytes[10] | 0x20 == 0x74,
            bytes[13] == 0x3a, bytes[16] == 0x3a
        else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            guard bytes[range].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            return bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month),
            (1...31).contains(day),
            hour < 24, minute < 60, second < 61
        else { return nil }
        var position = 19
        if bytes[position] == 0x2e {
            position += 1
            while position < bytes.count, (0x30...0x39).contains(bytes[position]) { position += 1 }
        }
        var offset: Int64 = 0
        if position + 1 == bytes.count, bytes[position] | 0x20 == 0x7a {
        } else if position + 6 == bytes.count, bytes[position] == 0x2b || bytes[position] == 0x2d,
            bytes[position + 3] == 0x3a, let hours = number(position + 1..<position + 3),
            let minutes = number(position + 4..<position + 6)
        {
            offset = (hours * 60 + minutes) * 60 * (bytes[position] == 0x2b ? 1 : -1)
        } else {
            return nil
        }
        // Days from civil, years that begin in March.
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return days * 86_400 + hour * 3600 + minute * 60 + second - offset
    }
}
