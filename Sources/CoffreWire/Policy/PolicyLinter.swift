/// Something in a policy that is accepted and probably not meant.
package struct PolicyWarning: Sendable, Equatable {
    /// From 1; 0 when unknown (JSON).
    package let line: Int
    /// Names the path; without the line.
    package let message: String

    /// With the line in front.
    package var text: String { line > 0 ? "line \(line): \(message)" : message }
}

/// Looks for what policies are known to get wrong. It decides nothing.
package struct PolicyLinter: Sendable {
    /// Most warnings about one policy.
    package static let maximumWarnings = 50
    private static let maximumComparisons = 2_000_000

    private let kvMounts: [[UInt8]]
    private let now: Int64

    /// - Parameters:
    ///   - kvMounts: paths of the KV version 2 mounts, with their trailing slash.
    ///   - now: seconds since 1970.
    package init(kvMounts: [String] = ["secret/"], now: Int64) {
        self.kvMounts = kvMounts.map { Array($0.utf8) }
        self.now = now
    }

    /// Warnings in the order of the text, at most ``maximumWarnings``.
    package func warnings(about policy: Policy) -> [PolicyWarning] {
        var warnings: [PolicyWarning] = []
        var seen: [PolicyPattern: PolicyRule] = [:]
        for rule in policy.rules {
            func warn(_ message: String) {
                warnings.append(PolicyWarning(line: rule.line, message: "path \"\(rule.source)\": \(message)"))
            }
            // Far more is read than is told, so that the first ones of the text are those that are told.
            guard warnings.count < Self.maximumWarnings * 4 else { break }
            if let expires = rule.expires, expires <= now { warn("has expired and counts as absent") }
            if rule.capabilities.isEmpty { warn("grants nothing: it has no capabilities") }
            RuleWarnings.limits(of: rule).forEach(warn)
            if rule.template != nil, rule.hasValueBeforeStar {
                warn("}}* also reaches every name that begins with the value: put a / before the *")
            }
            guard let pattern = rule.pattern else { continue }
            if let first = seen[pattern] {
                let place = first.line > 0 ? " on line \(first.line)" : ""
                warn("stands twice\(place): both are one rule, capabilities are united and deny wins")
            } else {
                seen[pattern] = rule
            }
            RuleWarnings.reach(of: rule, pattern).forEach(warn)
            for mount in kvMounts where pattern.path.starts(with: mount) {
                RuleWarnings.versioned(rule, pattern, mount: mount).forEach(warn)
            }
        }
        warnings += overridden(policy)
        warnings = warnings.enumerated().sorted { ($0.element.line, $0.offset) < ($1.element.line, $1.offset) }.map(
            \.element
        )
        return Array(warnings.prefix(Self.maximumWarnings))
    }

    /// `deny` on a pattern, and rules that are narrower and therefore decide.
    private func overridden(_ policy: Policy) -> [PolicyWarning] {
        var warnings: [PolicyWarning] = []
        var comparisons = 0
        let others = policy.rules.filter { !$0.capabilities.contains(.deny) && !$0.capabilities.isEmpty }
        for rule in policy.rules where rule.capabilities.contains(.deny) {
            guard let pattern = rule.pattern, pattern.kind != .exact else { continue }
            comparisons += others.count
            guard comparisons < Self.maximumComparisons, warnings.count < Self.maximumWarnings else { break }
            guard let narrower = others.first(where: { $0.pattern.map { pattern.isWider(than: $0) } ?? false }) else {
                continue
            }
            let place = narrower.line > 0 ? " (line \(narrower.line))" : ""
            let message =
                "path \"\(rule.source)\": deny does not stop the narrower \"\(narrower.source)\"\(place), which decides "
                + "where it matches"
            warnings.append(PolicyWarning(line: rule.line, message: message))
        }
        return warnings
    }
}

extension PolicyRule {
    fileprivate var hasValueBeforeStar: Bool {
        guard let parts = template?.parts, parts.count > 1, case .text([0x2a]) = parts[parts.count - 1] else {
            return false
        }
        return true
    }
}

extension PolicyPattern {
    /// Whether every path of `other` is one of this pattern, and the two are not the same.
    fileprivate func isWider(than other: PolicyPattern) -> Bool {
        if self == other { return false }
        switch kind {
        case .exact: return false
        case .prefix: return other.path.starts(with: path)
        case .segments(let endsInGlob):
            let mine = path.split(separator: 0x2f, omittingEmptySubsequences: false)
            let theirs = other.path.split(separator: 0x2f, omittingEmptySubsequences: false)
            guard endsInGlob ? theirs.count >= mine.count : theirs.count == mine.count && !other.isOpen else {
                return false
            }
            return mine.indices.allSatisfy { index in
                if mine[index].elementsEqual([0x2b]) { return true }
                if endsInGlob, index == mine.count - 1 { return theirs[index].starts(with: mine[index]) }
                return mine[index].elementsEqual(theirs[index])
            }
        }
    }

    /// Whether it ends in `*`.
    fileprivate var isOpen: Bool { kind == .prefix || kind == .segments(endsInGlob: true) }
}
