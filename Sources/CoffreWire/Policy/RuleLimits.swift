/// A value that a rule names for a parameter.
package indirect enum ParameterValue: Sendable, Equatable {
    /// Compared byte by byte; as a whole value it may begin and end in `*`.
    case text([UInt8])
    case bool(Bool)
    case list([ParameterValue])
    case object([[UInt8]: ParameterValue])
    /// Equals nothing that a request can hold: numbers, and objects within objects. The real server keeps the numbers of
    /// a policy and of a request in types that never compare as equal; a rule that names one must mean the same here.
    case never
}

/// What a rule demands of a request besides the right itself.
package struct RuleLimits: Sendable, Equatable {
    /// Values by name in lower case. An empty list is any value, the name `*` any other name.
    package typealias Parameters = [[UInt8]: [ParameterValue]]

    package var allowed: Parameters = [:]
    package var denied: Parameters = [:]
    /// Names in lower case that must be there.
    package var required: [[UInt8]] = []
    /// Seconds; the answer must be wrapped for at least this long.
    package var minimumWrapTTL: Int64?
    /// Seconds; the answer must be wrapped for at most this long.
    package var maximumWrapTTL: Int64?
    /// Most names that one list gives.
    package var paginationLimit: Int?
    package var filter: ListFilter?

    package var isEmpty: Bool { self == RuleLimits() }

    /// Adds a rule with the same pattern: names and values are united (no values is any value), the smaller number wins,
    /// the first filter stays. A rule without any parameters takes nothing from one that has some.
    package mutating func merge(_ other: RuleLimits) {
        Self.merge(other.allowed, into: &allowed)
        Self.merge(other.denied, into: &denied)
        for name in other.required where !required.contains(name) { required.append(name) }
        minimumWrapTTL = Self.smaller(minimumWrapTTL, other.minimumWrapTTL)
        maximumWrapTTL = Self.smaller(maximumWrapTTL, other.maximumWrapTTL)
        paginationLimit = Self.smaller(paginationLimit, other.paginationLimit)
        filter = filter ?? other.filter
    }

    private static func merge(_ other: Parameters, into parameters: inout Parameters) {
        for (name, values) in other {
            if let known = parameters[name], known.isEmpty || values.isEmpty {
                parameters[name] = []
            } else {
                parameters[name, default: []].append(contentsOf: values)
            }
        }
    }

    private static func smaller<N: Comparable>(_ first: N?, _ second: N?) -> N? {
        guard let first, let second else { return first ?? second }
        return min(first, second)
    }
}

/// `list_scan_response_keys_filter_path`: for each name of a list, the path that the caller must be able to read (or to
/// list, for a folder) to see the name.
package struct ListFilter: Sendable, Equatable {
    private enum Part: Sendable, Equatable {
        case text([UInt8])
        case path
        case key
    }

    private let parts: [Part]

    /// Text with `{{ .path }}` and `{{ .key }}`.
    /// - Throws: ``PolicyError`` for anything else in braces, and when the key is not used.
    init(_ text: String) throws(PolicyError) {
        var parts: [Part] = []
        for part in try BracedText.parts(of: text) {
            switch part {
            case .text(let text): parts.append(.text(text))
            case .braced(".path"): parts.append(.path)
            case .braced(".key"): parts.append(.key)
            case .braced:
                throw PolicyError("list_scan_response_keys_filter_path knows {{ .path }} and {{ .key }} only")
            }
        }
        guard parts.contains(.key) else {
            throw PolicyError("list_scan_response_keys_filter_path gives the same path for every key: use {{ .key }}")
        }
        self.parts = parts
    }

    /// The path to ask for. `path` is that of the list, with its trailing slash.
    package func path(for key: [UInt8], in path: [UInt8]) -> [UInt8] {
        parts.flatMap { part in
            switch part {
            case .text(let text): text
            case .path: path
            case .key: key
            }
        }
    }
}
