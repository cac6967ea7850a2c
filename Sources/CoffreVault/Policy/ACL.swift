package import CoffreWire
internal import Glibc

/// What the policies said of one request.
package struct ACLDecision: Sendable {
    /// Whether the rule grants the capability. What else it demands stands in ``limits``.
    package let isAllowed: Bool
    /// Whether the rule also grants `sudo`.
    package let hasSudo: Bool
    /// Whether the rule that decided says `deny`, or nothing is granted to this caller at all.
    let isDeny: Bool
    fileprivate let grant: Grant?
    /// Whether the rule that is named is of the second of two parties.
    fileprivate(set) var isOfSecond = false
    /// What the second of two parties says by itself.
    fileprivate(set) var second: [ACLDecision] = []

    fileprivate init(isAllowed: Bool, hasSudo: Bool, isDeny: Bool, grant: Grant?) {
        self.isAllowed = isAllowed
        self.hasSudo = hasSudo
        self.isDeny = isDeny
        self.grant = grant
    }

    /// What both say: the rule that is named is the one that refuses, or else this one's.
    fileprivate func and(_ other: ACLDecision) -> ACLDecision {
        var both = ACLDecision(
            isAllowed: isAllowed && other.isAllowed,
            hasSudo: hasSudo && other.hasSudo,
            isDeny: isDeny || other.isDeny,
            grant: isAllowed && !other.isAllowed ? other.grant : grant
        )
        both.isOfSecond = isAllowed && !other.isAllowed
        both.second = [other]
        return both
    }

    /// The policy, version and rule (from 0) that decided; nil when no rule matched, or for root.
    package var policy: String? { grant?.policy }
    package var policyVersion: Int? { grant?.version }
    package var rule: Int? { grant?.rule }
    /// What the rule demands besides; nil when nothing.
    var limits: RuleLimits? { grant?.limits }
    /// Whether there is anything in ``limits``.
    var hasLimits: Bool { grant?.hasLimits ?? false }

    /// Seconds; an answer must be wrapped for at least this long.
    package var minimumWrapTTL: Int64? { limits?.minimumWrapTTL }
    /// Seconds; an answer must be wrapped for at most this long.
    package var maximumWrapTTL: Int64? { limits?.maximumWrapTTL }
    /// Most names that a list gives.
    package var paginationLimit: Int? { limits?.paginationLimit }
}

/// What all rules with one pattern grant together; shared by every decision that it takes.
private final class Grant: Sendable {
    let capabilities: Capability
    let policy: String
    let version: Int?
    let rule: Int?
    let limits: RuleLimits?
    let hasLimits: Bool

    init(capabilities: Capability, policy: String, version: Int?, rule: Int?, limits: RuleLimits?) {
        self.capabilities = capabilities
        self.policy = policy
        self.version = version
        self.rule = rule
        self.limits = limits
        hasLimits = limits != nil
    }

    static let root = Grant(capabilities: [], policy: "root", version: nil, rule: nil, limits: nil)
}

/// Prefixes, longest first, in one piece of memory: looking through them touches nothing else.
private struct PrefixTable: Sendable {
    private var bytes: [UInt8] = []
    private var counts: [Int] = []
    private var grants: [Grant] = []

    init() {}

    init(_ prefixes: [(path: [UInt8], grant: Grant)]) {
        for (path, grant) in prefixes.sorted(by: { $0.path.count > $1.path.count }) {
            bytes.append(contentsOf: path)
            counts.append(path.count)
            grants.append(grant)
        }
    }

    /// The longest prefix of `path`: its length and what it grants.
    func longest(of path: [UInt8]) -> (count: Int, grant: Grant)? {
        let found = path.withUnsafeBytes { path in
            bytes.withUnsafeBytes { bytes -> Int? in
                var start = 0
                for (index, count) in counts.enumerated() {
                    if count == 0 { return index }
                    if count <= path.count, let path = path.baseAddress, let bytes = bytes.baseAddress,
                        memcmp(path, bytes + start, count) == 0
                    {
                        return index
                    }
                    start += count
                }
                return nil
            }
        }
        return found.map { (counts[$0], grants[$0]) }
    }

    func contains(where matches: (ArraySlice<UInt8>, Grant) -> Bool) -> Bool {
        var start = 0
        for (count, grant) in zip(counts, grants) {
            if matches(bytes[start..<start + count], grant) { return true }
            start += count
        }
        return false
    }
}

/// A path as a key: hashed and compared as a whole, not byte by byte.
private struct PathKey: Hashable, Sendable {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }

    static func == (first: PathKey, second: PathKey) -> Bool { first.bytes == second.bytes }
}

/// The rights of several policies together, with Vault's precedence.
///
/// One rule decides, there is no union across patterns: an exact one; for lists also the path without its slash; else the
/// best of the longest plain prefix and all matching `+` patterns. Rules with the same pattern text are merged, and `deny`
/// among them wipes the rest.
package struct ACL: Sendable {
    // Rules with one pattern, while they are brought together.
    private struct Draft {
        var capabilities: Capability
        var policy: String
        var version: Int
        var rule: Int
        var limits: RuleLimits?

        // The rule that is named is the one that denies, or else the first that granted.
        mutating func merge(_ other: Draft) {
            if capabilities.contains(.deny) { return }
            if other.capabilities.contains(.deny) {
                self = other
                return
            }
            capabilities.formUnion(other.capabilities)
            guard let more = other.limits else { return }
            if limits == nil { limits = more } else { limits?.merge(more) }
        }

        var grant: Grant {
            Grant(
                capabilities: capabilities,
                policy: policy,
                version: version,
                rule: rule,
                limits: limits
            )
        }
    }

    private let isRoot: Bool
    private var exact: [PathKey: Grant] = [:]
    private var prefixes = PrefixTable()
    private var segments: [(matcher: SegmentMatcher, grant: Grant)] = []
    // The rule whose template met a value that it must not hold: nothing is granted at all.
    private var forbidden: Grant?
    // The second party, when there are two: at most one.
    private var second: [ACL] = []
    /// When a rule expires next (seconds since 1970): the rights must be made anew then.
    package private(set) var validUntil: Int64?

    /// Everything.
    package static let root = ACL(isRoot: true)

    private init(isRoot: Bool) { self.isRoot = isRoot }

    /// - Parameters:
    ///   - subject: the entity behind the token; without one a rule with a template counts as absent.
    ///   - now: seconds since 1970; rules that have expired by then count as absent.
    package init(policies: [Policy], subject: PolicySubject? = nil, now: Int64) {
        self.init(isRoot: false)
        var drafts: [PolicyPattern: Draft] = [:]
        for policy in policies {
            for (index, rule) in policy.rules.enumerated() {
                if let expires = rule.expires {
                    if expires <= now { continue }
                    validUntil = min(validUntil ?? .max, expires)
                }
                let draft = Draft(
                    capabilities: rule.capabilities,
                    policy: policy.name,
                    version: Int(clamping: policy.version),
                    rule: index,
                    limits: rule.limits
                )
                switch rule.resolved(for: subject) {
                case .pattern(let pattern):
                    if drafts[pattern] == nil { drafts[pattern] = draft } else { drafts[pattern]?.merge(draft) }
                case .absent: continue
                case .forbidden: forbidden = forbidden ?? draft.grant
                }
            }
        }
        if forbidden != nil { return }
        var plain: [(path: [UInt8], grant: Grant)] = []
        for (pattern, draft) in drafts {
            switch pattern.kind {
            case .exact: exact[PathKey(pattern.path)] = draft.grant
            case .prefix: plain.append((pattern.path, draft.grant))
            case .segments(let endsInGlob):
                segments.append((SegmentMatcher(pattern.path, endsInGlob: endsInGlob), draft.grant))
            }
        }
        prefixes = PrefixTable(plain)
    }

    /// What this party and another may do both.
    func and(_ other: ACL) -> ACL {
        var both = self
        both.second = [other]
        both.validUntil = [validUntil, other.validUntil].compactMap(\.self).min()
        return both
    }

    /// Decides one capability on `path`. For `list` and `scan` the path ends in a slash.
    package func decide(_ capability: Capability, path: [UInt8]) -> ACLDecision {
        let own = decideAlone(capability, path: path)
        return second.first.map { own.and($0.decide(capability, path: path)) } ?? own
    }

    private func decideAlone(_ capability: Capability, path: [UInt8]) -> ACLDecision {
        if isRoot { return ACLDecision(isAllowed: true, hasSudo: true, isDeny: false, grant: Grant.root) }
        if let forbidden { return ACLDecision(isAllowed: false, hasSudo: false, isDeny: true, grant: forbidden) }
        let isListing = capability == .list || capability == .scan
        guard let grant = find(path, isListing: isListing) else {
            return ACLDecision(isAllowed: false, hasSudo: false, isDeny: false, grant: nil)
        }
        let isDenied = grant.capabilities.contains(.deny)
        return ACLDecision(
            isAllowed: !isDenied && grant.capabilities.contains(capability),
            hasSudo: !isDenied && grant.capabilities.contains(.sudo),
            isDeny: isDenied,
            grant: grant
        )
    }

    /// Sorted capability names on `path`: `["root"]`, `["deny"]`, or what the deciding rule grants.
    package func capabilities(path: [UInt8]) -> [String] {
        let own = capabilitiesAlone(path: path)
        guard let other = second.first?.capabilities(path: path), other != ["root"] else { return own }
        if own == ["root"] { return other }
        let both = own.filter { other.contains($0) }
        return both.isEmpty ? ["deny"] : both
    }

    private func capabilitiesAlone(path: [UInt8]) -> [String] {
        if isRoot { return ["root"] }
        let path = path.first == 0x2f ? Array(path.drop { $0 == 0x2f }) : path
        return (find(path, isListing: true)?.capabilities ?? []).sortedNames
    }

    /// Whether any rule grants anything on or below `mount` (with trailing slash).
    package func hasAnyCapability(underMount mount: [UInt8]) -> Bool {
        if let other = second.first, !other.hasAnyCapability(underMount: mount) { return false }
        if isRoot { return true }
        func grants(_ grant: Grant) -> Bool { !grant.capabilities.isEmpty && !grant.capabilities.contains(.deny) }
        if exact.contains(where: { $0.key.bytes.starts(with: mount) && grants($0.value) }) { return true }
        if prefixes.contains(where: { grants($1) && ($0.starts(with: mount) || mount.starts(with: $0)) }) {
            return true
        }
        let mountParts = mount.dropLast().split(separator: 0x2f, omittingEmptySubsequences: false)
        return segments.contains { grants($0.grant) && $0.matcher.reaches(below: mountParts) }
    }

    private func find(_ path: [UInt8], isListing: Bool) -> Grant? {
        if let grant = exact[PathKey(path)] { return grant }
        let trimmed = isListing && path.last == 0x2f ? Array(path.dropLast()) : nil
        if let trimmed, let grant = exact[PathKey(trimmed)] { return grant }
        if let grant = findPattern(path) { return grant }
        return trimmed.flatMap { findPattern($0) }
    }

    private func findPattern(_ path: [UInt8]) -> Grant? {
        let prefix = prefixes.longest(of: path)
        guard !segments.isEmpty else { return prefix?.grant }
        var best = prefix.map { (rank: PatternRank(prefix: Array(path[..<$0.count])), grant: $0.grant) }
        let parts = path.split(separator: 0x2f, omittingEmptySubsequences: false)
        for (matcher, grant) in segments {
            guard let rank = matcher.rank(parts) else { continue }
            if best.map({ $0.rank.isWorse(than: rank) }) ?? true { best = (rank, grant) }
        }
        return best?.grant
    }
}

extension PolicyRule {
    /// The pattern of this rule for one subject.
    func resolved(for subject: PolicySubject?) -> SubstitutedPath {
        if let pattern { return .pattern(pattern) }
        return template?.substituted(for: subject) ?? .absent
    }
}
