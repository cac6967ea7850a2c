internal import CoffreCrypto
package import CoffreWire
internal import Glibc

/// What a request brings along, as a rule's limits look at it.
package enum RequestParameters {
    /// Members of the body. Lent by the memory that holds it, read in place.
    case body(JSONView?)
    /// Query of a read or a list; one name may come several times.
    case query([VaultRequest.QueryItem])
}

extension RuleLimits {
    /// Whether a read, creation, update or patch may carry these parameters.
    ///
    /// The order is that of the real server: what must be there, then, if there is anything at all, what must not be
    /// there, then what may be.
    func allow(_ parameters: RequestParameters) -> Bool {
        if required.isEmpty, denied.isEmpty, allowed.isEmpty { return true }
        let given = parameters.values
        // A name that must be there is asked for in lower case, whatever case the others are compared in.
        for name in required where given[name] == nil { return false }
        if given.isEmpty { return true }
        let star: [UInt8] = [0x2a]
        if !denied.isEmpty {
            if denied[star] != nil { return false }
            for (name, value) in given {
                if let values = denied[name.folded], value.isAmong(values) { return false }
            }
        }
        if allowed.isEmpty { return true }
        let allowsOthers = allowed[star] != nil
        for (name, value) in given {
            if let values = allowed[name.folded] {
                if !value.isAmong(values) { return false }
            } else if !allowsOthers {
                return false
            }
        }
        return true
    }

    /// What a list gives at most: nil without a limit.
    enum Page: Equatable {
        case refused
        case most(Int?)
    }

    /// Looks at the request's own `limit`.
    func page(_ parameters: RequestParameters) -> Page {
        guard case .query(let query) = parameters else { return .refused }
        let given = query.filter { $0.name == "limit" }.map(\.value)
        guard let most = paginationLimit else { return .most(nil) }
        guard let text = given.first else {
            // Who does not know of pages gets the first one, unless the rule wants to hear that they know.
            return required.contains(Array("limit".utf8)) ? .refused : .most(most)
        }
        guard given.count == 1 else { return .refused }
        if text.isEmpty || text == "max" { return .most(most) }
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let wanted = Int(text), wanted <= most else {
            return .refused
        }
        return .most(wanted == 0 ? most : wanted)
    }
}

extension ACLDecision {
    /// Whether a request with these parameters meets what the rule demands besides the right itself.
    /// - Parameter wrapTTL: seconds that the answer is to be wrapped for; nil when it leaves plain.
    package func meets(_ capability: Capability, _ parameters: RequestParameters, wrapTTL: Int64?) -> Bool {
        guard let limits = limits else { return true }
        guard allowsWrapping(ttl: wrapTTL) else { return false }
        switch capability {
        case .read, .create, .update, .patch: return limits.allow(parameters)
        case .list, .scan: return limits.page(parameters) != .refused
        default: return true
        }
    }

    /// Whether the answer may leave as the request wants it: wrapped for `ttl` seconds, or plain (nil or 0).
    func allowsWrapping(ttl: Int64?) -> Bool {
        let ttl = ttl.flatMap { $0 > 0 ? $0 : nil }
        if let most = maximumWrapTTL {
            guard let ttl, ttl <= most else { return false }
        }
        if let least = minimumWrapTTL {
            guard let ttl, ttl >= least else { return false }
        }
        return true
    }
}

/// A value of a parameter.
private enum GivenValue {
    case json(JSONView)
    case text(String)
    /// A query parameter that came several times equals nothing that a rule can name.
    case several

    func isAmong(_ values: [ParameterValue]) -> Bool {
        values.isEmpty || values.contains { matches($0) }
    }

    private func matches(_ wanted: ParameterValue) -> Bool {
        switch self {
        case .json(let view): view.matches(wanted)
        case .text(let text):
            if case .text(let pattern) = wanted { Array(text.utf8).withUnsafeBytes(pattern.globMatches) } else { false }
        case .several: false
        }
    }
}

extension RequestParameters {
    // The last of several members with one name, as the engines read it.
    fileprivate var values: [[UInt8]: GivenValue] {
        var values: [[UInt8]: GivenValue] = [:]
        switch self {
        case .body(let body):
            for member in body?.members ?? [] { values[Array(member.key.utf8)] = .json(member.value) }
        case .query(let items):
            for item in items {
                let name = Array(item.name.utf8)
                values[name] = values[name] == nil ? .text(item.value) : .several
            }
        }
        return values
    }
}

extension JSONView {
    /// Texts with wildcards at their ends, everything else exactly.
    fileprivate func matches(_ wanted: ParameterValue) -> Bool {
        if case .text(let pattern) = wanted { return withText { pattern.globMatches($0) } ?? false }
        return equals(wanted)
    }

    private func equals(_ wanted: ParameterValue) -> Bool {
        switch wanted {
        case .never: return false
        case .text(let text): return withText { $0.elementsEqual(text) } ?? false
        case .bool(let flag): return bool == flag
        case .list(let values):
            guard isArray else { return false }
            let elements = elements
            return elements.count == values.count && zip(elements, values).allSatisfy { $0.equals($1) }
        case .object(let object):
            guard isObject else { return false }
            var given: [[UInt8]: JSONView] = [:]
            for member in members { given[Array(member.key.utf8)] = member.value }
            return given.count == object.count
                && object.allSatisfy { name, value in given[name].map { $0.equals(value) } ?? false }
        }
    }

    /// Lends the bytes of a string: in place, or, when it holds escapes, decoded into guarded memory.
    private func withText(_ body: (UnsafeRawBufferPointer) -> Bool) -> Bool? {
        guard let count = stringCount else { return nil }
        let raw = raw
        guard raw.contains(0x5c) else { return body(UnsafeRawBufferPointer(rebasing: raw[1..<raw.count - 1])) }
        guard count > 0 else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        return SharedSecret(SecretBytes(count: count) { decodeString(into: $0) }).withBytes(body)
    }
}

extension [UInt8] {
    /// In lower case, as parameter names are compared.
    fileprivate var folded: [UInt8] {
        if allSatisfy({ $0 < 0x41 || (0x5b...0x7f).contains($0) }) { return self }
        return Array(String(decoding: self, as: UTF8.self).lowercased().utf8)
    }

    /// Whether `text` fits this pattern: `*` at its beginning and at its end is anything. A lone `*` is itself, as in the
    /// real server; an empty list is how a rule says "any value".
    fileprivate func globMatches(_ text: UnsafeRawBufferPointer) -> Bool {
        withUnsafeBytes { pattern in
            let isOpenBefore = count > 1 && first == 0x2a
            let isOpenAfter = count > 1 && last == 0x2a
            let start = isOpenBefore ? 1 : 0
            let end = Swift.max(start, count - (isOpenAfter ? 1 : 0))
            let part = UnsafeRawBufferPointer(rebasing: pattern[start..<end])
            guard let wanted = part.baseAddress, !part.isEmpty else { return isOpenBefore || text.isEmpty }
            guard let given = text.baseAddress, text.count >= part.count else { return false }
            let rest = text.count - part.count
            switch (isOpenBefore, isOpenAfter) {
            case (false, false): return rest == 0 && memcmp(given, wanted, part.count) == 0
            case (false, true): return memcmp(given, wanted, part.count) == 0
            case (true, false): return memcmp(given + rest, wanted, part.count) == 0
            case (true, true): return text.holds(part)
            }
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether `part`, which is not empty, stands somewhere in these bytes.
    fileprivate func holds(_ part: UnsafeRawBufferPointer) -> Bool {
        guard let text = baseAddress, let wanted = part.baseAddress, count >= part.count else { return false }
        var position = 0
        let last = count - part.count
        while position <= last, let found = memchr(text + position, Int32(part[0]), last - position + 1) {
            if memcmp(found, wanted, part.count) == 0 { return true }
            position = UnsafeRawPointer(found) - text + 1
        }
        return false
    }
}
