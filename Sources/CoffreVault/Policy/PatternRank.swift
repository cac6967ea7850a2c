/// A pattern with `+` segments, made ready for comparing.
struct SegmentMatcher: Sendable {
    let text: [UInt8]
    private let parts: [[UInt8]]
    private let endsInGlob: Bool
    private let firstWildcard: Int

    init(_ text: [UInt8], endsInGlob: Bool) {
        self.text = text
        parts = text.split(separator: 0x2f, omittingEmptySubsequences: false).map { Array($0) }
        self.endsInGlob = endsInGlob
        firstWildcard = text.firstIndex(of: 0x2b) ?? text.count
    }

    /// The rank of this pattern among those that match `path`, or nil when it does not.
    func rank(_ path: [ArraySlice<UInt8>]) -> PatternRank? {
        guard path.count >= parts.count, endsInGlob || path.count == parts.count else { return nil }
        var plus = 0
        for (index, wanted) in parts.enumerated() {
            if wanted.count == 1, wanted[0] == 0x2b {
                plus += 1
            } else if wanted.elementsEqual(path[index]) {
                continue
            } else if endsInGlob, index == parts.count - 1, path[index].starts(with: wanted) {
                continue
            } else {
                return nil
            }
        }
        return PatternRank(text: text, first: firstWildcard, isPrefix: endsInGlob, plus: plus)
    }

    /// Whether some path below `mount` (its segments) could match.
    func reaches(below mount: [ArraySlice<UInt8>]) -> Bool {
        for (index, part) in mount.enumerated() {
            guard index < parts.count else { return endsInGlob }
            let isLastGlob = endsInGlob && index == parts.count - 1
            if parts[index] == [0x2b] || parts[index].elementsEqual(part) { continue }
            return isLastGlob && part.starts(with: parts[index])
        }
        return true
    }
}

/// Which of several matching patterns decides.
struct PatternRank {
    let text: [UInt8]
    /// Where the first wildcard stands.
    let first: Int
    let isPrefix: Bool
    let plus: Int

    /// Of a plain prefix.
    init(prefix: [UInt8]) {
        self.init(text: prefix, first: prefix.count, isPrefix: true, plus: 0)
    }

    init(text: [UInt8], first: Int, isPrefix: Bool, plus: Int) {
        self.text = text
        self.first = first
        self.isPrefix = isPrefix
        self.plus = plus
    }

    /// Later first wildcard wins; then not ending in `*`; then fewer `+`; then longer; then greater.
    func isWorse(than other: PatternRank) -> Bool {
        if first != other.first { return first < other.first }
        if isPrefix != other.isPrefix { return isPrefix }
        if plus != other.plus { return plus > other.plus }
        if text.count != other.text.count { return text.count < other.text.count }
        return text.lexicographicallyPrecedes(other.text)
    }

    /// Why this pattern loses against a better one.
    func reason(against better: PatternRank) -> String {
        if first != better.first { return "its first wildcard comes earlier" }
        if isPrefix != better.isPrefix { return "it ends in *, the other does not" }
        if plus != better.plus { return "it has more + segments" }
        if text.count != better.text.count { return "it is shorter" }
        return "it comes first in the alphabet"
    }
}
