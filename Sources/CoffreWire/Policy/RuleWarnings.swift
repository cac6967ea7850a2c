/// What is odd about one rule by itself.
enum RuleWarnings {
    private static let kvVerbs = [
        "config", "data", "delete", "destroy", "detailed-metadata", "metadata", "subkeys", "undelete",
    ]

    /// Paths that no request has, and paths that reach too much.
    static func reach(of rule: PolicyRule, _ pattern: PolicyPattern) -> [String] {
        var warnings: [String] = []
        let path = pattern.path
        let text = String(decoding: path, as: UTF8.self)
        let segments = path.split(separator: 0x2f, omittingEmptySubsequences: false)
        let isExact = pattern.kind == .exact
        if path.isEmpty, isExact { warnings.append("never matches: it is empty") }
        if text.utf8.starts(with: "v1/".utf8) {
            warnings.append("never matches: paths begin after /v1/, as \"\(text.dropFirst(3))\"")
        }
        let inner = segments.dropLast()
        if inner.contains(where: { $0.isEmpty || $0.elementsEqual([0x2e]) || $0.elementsEqual([0x2e, 0x2e]) })
            || path.contains(where: { $0 < 0x20 || $0 == 0x7f })
        {
            warnings.append("never matches: no request has an empty segment, \".\", \"..\" or a control character")
        }
        if path.contains(0x2a) { warnings.append("a * is a wildcard at the very end only; this one is itself") }
        if segments.contains(where: { $0.count > 1 && $0.contains(0x2b) }) {
            warnings.append("a + is a wildcard as a whole segment only; this one is itself")
        }
        let lists: Capability = [.list, .scan]
        if isExact, path.count > 1, path.last == 0x2f, !rule.capabilities.isEmpty,
            rule.capabilities.isDisjoint(with: lists.union(.deny))
        {
            warnings.append("never matches: only lists have a / at the end")
        }
        guard !rule.capabilities.isEmpty, !rule.capabilities.contains(.deny) else { return warnings }
        if case .exact = pattern.kind { return warnings }
        if "sys/".utf8.starts(with: path), pattern.kind == .prefix {
            warnings.append("reaches the whole administration of the vault (sys/)")
        } else if segments.first?.elementsEqual([0x2b]) == true {
            warnings.append("begins with +, which also is sys and auth")
        }
        return warnings
    }

    /// What a KV version 2 mount does not understand.
    static func versioned(_ rule: PolicyRule, _ pattern: PolicyPattern, mount: [UInt8]) -> [String] {
        if rule.capabilities.isEmpty { return [] }
        let name = String(decoding: mount, as: UTF8.self)
        let rest = pattern.path[mount.count...]
        let verb = rest.prefix { $0 != 0x2f }
        let isWhole = verb.count < rest.count
        let isOpen = pattern.kind == .prefix || pattern.kind == .segments(endsInGlob: true)
        if verb.elementsEqual([0x2b]) { return [] }
        let fits = kvVerbs.contains {
            isWhole || !isOpen ? $0.utf8.elementsEqual(verb) : $0.utf8.starts(with: verb)
        }
        guard fits else {
            let shown = String(decoding: rest, as: UTF8.self) + (isOpen ? "*" : "")
            return [
                "reaches nothing: \(name) is KV version 2; say \"\(name)data/\(shown)\" or \"\(name)metadata/\(shown)\""
            ]
        }
        var warnings: [String] = []
        let isData = isWhole && verb.elementsEqual("data".utf8)
        if isData, rule.capabilities.contains(.list) || rule.capabilities.contains(.scan) {
            warnings.append("list has no effect under data/: names are listed under \(name)metadata/")
        }
        if isWhole, verb.elementsEqual("metadata".utf8), pattern.kind == .exact, rest.last != 0x2f,
            rule.capabilities.contains(.list)
        {
            warnings.append("list is for this one folder: say so with a / at the end, or reach what is below with /*")
        }
        if isData, let allowed = rule.limits?.allowed, !allowed.isEmpty, allowed[[0x2a]] == nil,
            allowed[Array("data".utf8)] == nil, !rule.capabilities.isDisjoint(with: [.create, .update, .patch])
        {
            warnings.append("refuses every write: the parameters of KV version 2 are \"data\" and \"options\"")
        }
        return warnings
    }

    /// Limits that do nothing, or something else than they seem to.
    static func limits(of rule: PolicyRule) -> [String] {
        guard let limits = rule.limits else { return [] }
        if rule.capabilities.contains(.deny) { return ["deny needs no further keys: they have no effect"] }
        var warnings: [String] = []
        let hasParameters = !limits.allowed.isEmpty || !limits.denied.isEmpty || !limits.required.isEmpty
        if hasParameters, rule.capabilities.isDisjoint(with: [.create, .read, .update, .patch]),
            limits.required != [Array("limit".utf8)]
        {
            warnings.append("parameters are looked at in reads, creations, updates and patches only")
        }
        if limits.paginationLimit != nil, rule.capabilities.isDisjoint(with: [.list, .scan]) {
            warnings.append("pagination_limit is for list and scan")
        }
        let values = limits.allowed.values.flatMap { $0 } + limits.denied.values.flatMap { $0 }
        if values.contains(where: { $0.holdsNever }) {
            warnings.append(
                "a number, or an object within an object, equals no value of a request: use [] for any value"
            )
        }
        if values.contains(.text([0x2a])) {
            warnings.append("the value \"*\" is that text alone: use [] for any value")
        }
        if let values = limits.denied[[0x2a]], !values.isEmpty {
            warnings.append("denied_parameters \"*\" refuses every parameter, whatever values stand there")
        }
        return warnings
    }
}

extension ParameterValue {
    fileprivate var holdsNever: Bool {
        switch self {
        case .never: true
        case .list(let values): values.contains { $0.holdsNever }
        case .object(let values): values.values.contains { $0.holdsNever }
        case .text, .bool: false
        }
    }
}
