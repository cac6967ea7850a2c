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
                    for block in blocks { rules.append(try rule(path.key, block, at: path)) }
                } else {
                    rules.append(try rule(path.key, path.value, at: path))
                }
            }
        case .list(let nodes): for node in nodes { try append(node, line: line, to: &rules) }
        default: throw PolicyError("path is followed by a path in quotes and a block", line: known(line))
        }
    }

    private static func rule(_ path: String, _ node: PolicyNode, at member: PolicyNode.Member) throws(PolicyError)
        -> PolicyRule
    {
        let start = known(member.line)
        guard path.utf8.count <= 4096 else { throw PolicyError("a path has at most 4096 bytes", line: start) }
        guard case .object(let members) = node else {
            throw PolicyError("path \"\(path)\" is followed by a block", line: start)
        }
        var capabilities: Capability = []
        var expires: Int64?
        var limits = RuleLimits()
        for member in members {
            let line = known(member.line)
            switch member.key {
            case "capabilities": capabilities.formUnion(try Self.capabilities(member.value, path: path, line: line))
            case "policy": capabilities.formUnion(try legacy(member.value, path: path, line: line))
            case "comment": continue
            case "expiration": expires = try expiration(member.value, line: line)
            case "control_group", "mfa_methods":
                // A rule that is not enforced must not look as if it were.
                throw PolicyError(
                    "path \"\(path)\": \(member.key) is not available: a second person's consent is no part of policies",
                    line: line
                )
            default:
                let isLimit: Bool
                do throws(PolicyError) {
                    isLimit = try RuleLimitsReader.read(member.key, member.value, into: &limits)
                } catch {
                    throw PolicyError("path \"\(path)\": \(error.message)", line: line)
                }
                guard isLimit else { throw PolicyError("path \"\(path)\": invalid key \"\(member.key)\"", line: line) }
            }
        }
        if let least = limits.minimumWrapTTL, let most = limits.maximumWrapTTL, most < least {
            throw PolicyError("path \"\(path)\": max_wrapping_ttl cannot be less than min_wrapping_ttl", line: start)
        }
        if capabilities.contains(.deny) { capabilities = .deny }
        if limits.filter != nil, !capabilities.contains(.list), capabilities != .deny {
            throw PolicyError(
                "path \"\(path)\": list_scan_response_keys_filter_path needs the list capability",
                line: start
            )
        }
        return try rule(path, capabilities, expires, limits, at: member)
    }

    private static func rule(
        _ path: String,
        _ capabilities: Capability,
        _ expires: Int64?,
        _ limits: RuleLimits,
        at member: PolicyNode.Member
    ) throws(PolicyError) -> PolicyRule {
        let line = known(member.line)
        let template: PolicyTemplate?
        do throws(PolicyError) {
            template = try PolicyTemplate(path)
        } catch {
            throw PolicyError("path \"\(path)\": \(error.message)", line: line)
        }
        // A template's pattern is that of its result, but what is wrong with its text is wrong with any result.
        guard let pattern = PolicyPattern(path) else {
            throw PolicyError("path \"\(path)\": invalid use of wildcards ('+*' is forbidden)", line: line)
        }
        return PolicyRule(
            source: path,
            pattern: template == nil ? pattern : nil,
            template: template,
            capabilities: capabilities,
            expires: expires,
            limits: limits.isEmpty ? nil : limits,
            line: member.line,
            endLine: member.endLine
        )
    }

    private static func expiration(_ node: PolicyNode, line: Int?) throws(PolicyError) -> Int64? {
        if let text = node.weakText {
            if text.isEmpty { return nil }
            if let time = Int64(text) ?? RFC3339.seconds(text) { return time }
        }
        throw PolicyError("expiration takes a time such as \"2027-01-31T00:00:00Z\"", line: line)
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
        case "": return []
        case "deny": return .deny
        case "read": return [.read, .list]
        case "write": return [.create, .read, .update, .delete, .list]
        case "sudo": return [.create, .read, .update, .delete, .list, .sudo]
        default: throw PolicyError("path \"\(path)\": invalid policy '\(name)'", line: line)
        }
    }
}
