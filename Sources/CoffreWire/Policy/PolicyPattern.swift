/// The path of a rule, as it is compared.
package struct PolicyPattern: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case exact
        /// Ended in `*`, which is not part of the bytes.
        case prefix
        /// Holds `+` segments; `endsInGlob` when it also ended in `*`.
        case segments(endsInGlob: Bool)
    }

    package let kind: Kind
    /// Without a leading slash and without the final `*`.
    package let path: [UInt8]

    /// Nil when the text holds `+*`, which means nothing.
    ///
    /// A leading slash is dropped; a `*` is a wildcard at the very end only, a `+` as a whole segment only. A path with a
    /// segment that merely begins with `+` takes its turn among the wildcards all the same, as in the real server.
    package init?(_ text: String) {
        var bytes = Array(text.utf8)
        if bytes.first == 0x2f { bytes.removeFirst() }
        var previous: UInt8 = 0x2f
        var hasSegments = false
        var begins = false
        for (index, byte) in bytes.enumerated() {
            if byte == 0x2a, previous == 0x2b { return nil }
            if byte == 0x2b, previous == 0x2f {
                if index > 0 { hasSegments = true } else { begins = true }
            }
            previous = byte
        }
        if begins, bytes.count == 1 || bytes[1] == 0x2f { hasSegments = true }
        let isGlob = bytes.last == 0x2a
        if isGlob { bytes.removeLast() }
        kind = hasSegments ? .segments(endsInGlob: isGlob) : isGlob ? .prefix : .exact
        path = bytes
    }

    /// As in a policy, without the leading slash.
    package var text: String {
        let isGlob =
            switch kind {
            case .exact, .segments(endsInGlob: false): false
            case .prefix, .segments(endsInGlob: true): true
            }
        return String(decoding: path, as: UTF8.self) + (isGlob ? "*" : "")
    }
}

/// One rule: a pattern and what it grants.
package struct PolicyRule: Sendable {
    /// The path as written, templates included.
    package let source: String
    /// Nil when the path is a template.
    package let pattern: PolicyPattern?
    package let template: PolicyTemplate?
    package let capabilities: Capability
    /// Seconds since 1970; from then on the rule counts as absent.
    package let expires: Int64?
    /// Nil when the rule sets no limits.
    package let limits: RuleLimits?
    /// First and last line, from 1; 0 in JSON.
    package let line: Int
    package let endLine: Int
}
