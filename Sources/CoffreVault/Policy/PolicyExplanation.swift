package import CoffreWire

/// Why a request is decided as it is: every rule that fits the path, best first, and what each lost to.
package struct PolicyExplanation {
    package struct Candidate {
        package let policy: String
        package let version: UInt64
        /// From 0.
        package let rule: Int
        /// The path as written.
        package let source: String
        /// First and last line, from 1; 0 in JSON.
        package let lines: (first: Int, last: Int)
        /// The rule's lines; nil in JSON.
        package let text: String?
        package let capabilities: [String]
        /// Why it does not decide; nil for the one that does, and for those that are one with it.
        package let reason: String?
    }

    /// How a rule comes to match, in the order in which the kinds are asked.
    private enum Way: Int, Comparable {
        case exact, exactWithoutSlash, pattern, patternWithoutSlash

        static func < (first: Way, second: Way) -> Bool { first.rawValue < second.rawValue }
    }

    private struct Match {
        let way: Way
        let rank: PatternRank
        let pattern: PolicyPattern
        let policy: Policy
        let rule: Int

        func isBetter(than other: Match) -> Bool {
            if way != other.way { return way < other.way }
            if pattern != other.pattern { return other.rank.isWorse(than: rank) }
            return false
        }
    }

    package let decision: ACLDecision
    /// Those that decide first.
    package private(set) var candidates: [Candidate] = []

    /// - Parameters:
    ///   - path: without leading slash; ends in one for `list` and `scan`.
    ///   - now: seconds since 1970.
    package init(
        _ policies: [Policy],
        subject: PolicySubject?,
        capability: Capability,
        path: [UInt8],
        now: Int64
    ) {
        decision = ACL(policies: policies, subject: subject, now: now).decide(capability, path: path)
        let isListing = capability == .list || capability == .scan
        var matches: [Match] = []
        var absent: [Candidate] = []
        for policy in policies {
            for (index, rule) in policy.rules.enumerated() {
                func leaveOut(_ reason: String) {
                    absent.append(Candidate(policy, index, reason: reason))
                }
                let resolved = rule.resolved(for: subject)
                if case .forbidden = resolved {
                    leaveOut("a value for its template holds *, + or /: nothing is granted to this caller at all")
                    continue
                }
                guard case .pattern(let pattern) = resolved else {
                    leaveOut("a value for its template is missing")
                    continue
                }
                guard let (way, rank) = Self.match(pattern, path, isListing: isListing) else { continue }
                if let expires = rule.expires, expires <= now {
                    leaveOut("it has expired")
                } else {
                    matches.append(Match(way: way, rank: rank, pattern: pattern, policy: policy, rule: index))
                }
            }
        }
        // Stable: rules with one pattern stay in the order of the policies.
        matches = matches.enumerated()
            .sorted {
                $0.element.isBetter(than: $1.element) || !$1.element.isBetter(than: $0.element) && $0.offset < $1.offset
            }
            .map(\.element)
        let best = matches.first
        candidates = matches.map { match in
            Candidate(match.policy, match.rule, reason: best.flatMap { reason(match, against: $0) })
        }
        candidates += absent
    }

    private func reason(_ match: Match, against best: Match) -> String? {
        if match.pattern == best.pattern, match.way == best.way {
            let isDenied = decision.isDeny && !match.policy.rules[match.rule].capabilities.contains(.deny)
            return isDenied ? "deny wins among rules with the same path" : nil
        }
        let winner = "\"\(best.policy.rules[best.rule].source)\""
        if match.way != best.way {
            switch best.way {
            case .exact: return "\(winner) is the path itself"
            case .exactWithoutSlash: return "\(winner) is the path itself, without its slash"
            default: return "patterns are asked without the slash only when none fits with it, as \(winner) does"
            }
        }
        return "\(winner) is more specific: \(match.rank.reason(against: best.rank))"
    }

    private static func match(_ pattern: PolicyPattern, _ path: [UInt8], isListing: Bool) -> (Way, PatternRank)? {
        let trimmed = isListing && path.last == 0x2f ? path.dropLast() : nil
        switch pattern.kind {
        case .exact:
            let rank = PatternRank(prefix: pattern.path)
            if pattern.path == path { return (.exact, rank) }
            if let trimmed, pattern.path.elementsEqual(trimmed) { return (.exactWithoutSlash, rank) }
        case .prefix:
            let rank = PatternRank(prefix: pattern.path)
            if path.starts(with: pattern.path) { return (.pattern, rank) }
        case .segments(let endsInGlob):
            let matcher = SegmentMatcher(pattern.path, endsInGlob: endsInGlob)
            func rank(_ path: ArraySlice<UInt8>) -> PatternRank? {
                matcher.rank(path.split(separator: 0x2f, omittingEmptySubsequences: false))
            }
            if let rank = rank(path[...]) { return (.pattern, rank) }
            if let trimmed, let rank = rank(trimmed) { return (.patternWithoutSlash, rank) }
        }
        return nil
    }
}

extension PolicyExplanation.Candidate {
    /// Most bytes of a rule's text.
    private static let maximumText = 4096

    fileprivate init(_ policy: Policy, _ index: Int, reason: String?) {
        let rule = policy.rules[index]
        self.init(
            policy: policy.name,
            version: policy.version,
            rule: index,
            source: rule.source,
            lines: (rule.line, rule.endLine),
            text: Self.lines(rule.line, rule.endLine, of: policy.text),
            capabilities: rule.capabilities.sortedNames,
            reason: reason
        )
    }

    private static func lines(_ first: Int, _ last: Int, of text: String) -> String? {
        guard first > 0, last >= first else { return nil }
        let lines = text.utf8.split(separator: 0x0a, maxSplits: last, omittingEmptySubsequences: false)
        guard last <= lines.count else { return nil }
        let bytes = Array(lines[(first - 1)..<last].joined(separator: [0x0a]).prefix(maximumText))
        return String(decoding: bytes, as: UTF8.self)
    }
}
