/// An entry of the broker's `allow` that cannot be used.
package struct EgressPolicyError: Error, Sendable, Equatable {
    /// Position in the list, from 0.
    package let index: Int
    /// Says what is allowed.
    package let message: String
}

/// Where the broker may connect to. It judges the address that is then connected to, never the name.
///
/// Public addresses are open. Loopback, private and carrier ranges need an entry in `allow`. Link-local addresses (with
/// the cloud's metadata services), unspecified, multicast and reserved ones are closed, whatever `allow` says.
package struct EgressPolicy: Sendable {
    /// What an address is by itself.
    package enum Reach: Sendable, Equatable {
        case open
        case onlyIfAllowed
        case never
    }

    private struct Rule: Sendable {
        let range: NetworkRange
        let port: UInt16?
    }

    private let rules: [Rule]

    /// Ranges of the IANA special-purpose registries (RFC 6890), and metadata services outside of link-local.
    private static let neverRanges = ranges([
        "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
        "100.100.100.200", "168.63.129.16", "192.0.0.192",
        "fe80::/10", "ff00::/8", "fd00:ec2::254", "2001::/32",
    ])
    private static let onlyIfAllowedRanges = ranges([
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24",
        "198.18.0.0/15", "::1", "fc00::/7", "fec0::/10", "64:ff9b:1::/48",
    ])
    private static let unspecifiedOrCompatible = ranges(["::/96"])
    private static let translated = ranges(["64:ff9b::/96"])
    private static let sixToFour = ranges(["2002::/16"])

    private static func ranges(_ texts: [String]) -> [NetworkRange] { texts.compactMap { NetworkRange($0) } }

    /// - Parameter allow: entries such as `10.0.0.0/8`, `127.0.0.1:5432`, `10.1.0.0/16:5432`, `::1`, `[::1]:5433`,
    ///   `[fd00::/8]:5432`.
    /// - Throws: ``EgressPolicyError`` with the position of the entry.
    package init(allow: [String]) throws(EgressPolicyError) {
        var rules: [Rule] = []
        for (index, text) in allow.enumerated() {
            guard let rule = Self.rule(text) else {
                throw EgressPolicyError(
                    index: index,
                    message: "takes addresses or ranges such as \"10.0.0.0/8\", \"127.0.0.1:5432\", \"[::1]:5433\""
                )
            }
            guard !Self.neverRanges.contains(where: { $0.covers(rule.range) }), !rule.range.isEverything else {
                throw EgressPolicyError(
                    index: index,
                    message: "cannot open link-local, multicast or reserved addresses: name the private ranges instead"
                )
            }
            rules.append(rule)
        }
        self.rules = rules
    }

    private static func rule(_ text: String) -> Rule? {
        if let range = NetworkRange(text) { return Rule(range: range, port: nil) }
        let address: Substring
        let rest: Substring
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return nil }
            address = text[text.index(after: text.startIndex)..<end]
            rest = text[text.index(after: end)...]
            guard address.contains(":") else { return nil }
        } else {
            let colon = text.firstIndex(of: ":") ?? text.endIndex
            address = text[..<colon]
            rest = text[colon...]
        }
        guard let range = NetworkRange(String(address)) else { return nil }
        if rest.isEmpty { return Rule(range: range, port: nil) }
        let digits = rest.dropFirst()
        guard rest.first == ":", digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits), port > 0
        else { return nil }
        return Rule(range: range, port: port)
    }

    /// What `address` is by itself. IPv4 inside IPv6 (mapped, RFC 6052 and RFC 3056) is judged as IPv4.
    package static func reach(_ address: NetworkAddress) -> Reach {
        if let embedded = embeddedIPv4(address) {
            // What a translator would reach is never more open than the address itself.
            return reach(embedded)
        }
        if neverRanges.contains(where: { $0.contains(address) }) { return .never }
        if onlyIfAllowedRanges.contains(where: { $0.contains(address) }) { return .onlyIfAllowed }
        return unspecifiedOrCompatible.contains { $0.contains(address) } ? .never : .open
    }

    private static func embeddedIPv4(_ address: NetworkAddress) -> NetworkAddress? {
        if translated.contains(where: { $0.contains(address) }) {
            return NetworkAddress(bytes: Array(address.bytes[12...]))
        }
        if sixToFour.contains(where: { $0.contains(address) }) {
            return NetworkAddress(bytes: Array(address.bytes[2..<6]))
        }
        return nil
    }

    /// Whether the broker may connect to `port` of `address`.
    package func permits(_ address: NetworkAddress, port: UInt16) -> Bool {
        switch Self.reach(address) {
        case .open: true
        case .never: false
        case .onlyIfAllowed: rules.contains { $0.range.contains(address) && ($0.port == nil || $0.port == port) }
        }
    }
}
