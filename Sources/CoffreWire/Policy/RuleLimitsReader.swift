/// Reads the keys of a rule that limit what a request may be.
enum RuleLimitsReader {
    /// - Returns: false when `key` is no such key.
    /// - Throws: ``PolicyError``.
    static func read(_ key: String, _ node: PolicyNode, into limits: inout RuleLimits) throws(PolicyError) -> Bool {
        switch key {
        case "allowed_parameters": add(try parameters(key, node), to: &limits.allowed)
        case "denied_parameters": add(try parameters(key, node), to: &limits.denied)
        case "required_parameters":
            guard case .list(let names) = node else { throw PolicyError("\(key) is a list of names") }
            for name in names {
                guard let name = name.weakText else { throw PolicyError("\(key) is a list of names") }
                let folded = Array(name.lowercased().utf8)
                if !limits.required.contains(folded) { limits.required.append(folded) }
            }
        case "min_wrapping_ttl": limits.minimumWrapTTL = try duration(key, node)
        case "max_wrapping_ttl": limits.maximumWrapTTL = try duration(key, node)
        case "pagination_limit":
            guard let text = node.weakText, let number = Int(text) else {
                throw PolicyError("\(key) is a whole number")
            }
            limits.paginationLimit = number > 0 ? number : nil
        case "list_scan_response_keys_filter_path":
            guard case .string(let text) = node else { throw PolicyError("\(key) is a text") }
            if !text.isEmpty { limits.filter = try ListFilter(text) }
        default: return false
        }
        return true
    }

    // Said twice in one rule, the lists are one.
    private static func add(_ new: RuleLimits.Parameters, to parameters: inout RuleLimits.Parameters) {
        for (name, values) in new { parameters[name, default: []].append(contentsOf: values) }
    }

    private static func parameters(_ key: String, _ node: PolicyNode) throws(PolicyError) -> RuleLimits.Parameters {
        guard case .object(let members) = node else {
            throw PolicyError("\(key) is a block such as { \"name\" = [\"value\"] }")
        }
        var result: RuleLimits.Parameters = [:]
        var spellings: [[UInt8]: String] = [:]
        for member in members {
            let name = Array(member.key.lowercased().utf8)
            // The real server lets chance decide which of two spellings counts.
            guard spellings.updateValue(member.key, forKey: name).map({ $0 == member.key }) ?? true else {
                throw PolicyError("\(key) names \"\(member.key)\" in two spellings")
            }
            let values: [ParameterValue]
            switch member.value {
            case .list(let nodes): values = try nodes.map { node throws(PolicyError) in try value(node, key) }
            case .object: values = [try value(member.value, key)]
            default: throw PolicyError("\(key): \"\(member.key)\" takes a list of values, [] for any")
            }
            result[name, default: []].append(contentsOf: values)
        }
        return result
    }

    private static func value(_ node: PolicyNode, _ key: String) throws(PolicyError) -> ParameterValue {
        switch node {
        case .string(let text): return .text(Array(text.utf8))
        case .literal("true"): return .bool(true)
        case .literal("false"): return .bool(false)
        case .literal("null"): throw PolicyError("\(key): null is no value")
        case .literal: return .never
        case .list(let nodes): return .list(try nodes.map { node throws(PolicyError) in try value(node, key) })
        case .object(let members):
            var object: [[UInt8]: ParameterValue] = [:]
            for member in members {
                if case .object = member.value {
                    object[Array(member.key.utf8)] = .never
                } else {
                    object[Array(member.key.utf8)] = try value(member.value, key)
                }
            }
            return .object(object)
        }
    }

    /// Whole seconds, nil for 0. A negative one, which in the real server undoes that of another policy, is refused.
    private static func duration(_ key: String, _ node: PolicyNode) throws(PolicyError) -> Int64? {
        let wrong = PolicyError("\(key) is a duration such as \"90s\" or \"1h\"")
        guard let text = node.weakText, text != "true", text != "false" else { throw wrong }
        if text.isEmpty { return nil }
        // A number without a unit is seconds, whatever stands behind its point.
        guard let seconds = GoDuration.seconds(text) ?? Double(text).flatMap({ GoDuration.seconds("\($0)s") }) else {
            throw wrong
        }
        return seconds == 0 ? nil : seconds
    }
}
