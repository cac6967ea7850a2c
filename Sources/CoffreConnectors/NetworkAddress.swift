internal import Glibc

/// An IPv4 or IPv6 address in one form: sixteen bytes, IPv4 as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).
package struct NetworkAddress: Sendable, Hashable, CustomStringConvertible {
    package let bytes: [UInt8]

    private static let mappedPrefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

    /// From 4 or 16 bytes; nil for any other number.
    package init?(bytes: [UInt8]) {
        switch bytes.count {
        case 4: self.bytes = Self.mappedPrefix + bytes
        case 16: self.bytes = bytes
        default: return nil
        }
    }

    /// From the strict text forms of inet_pton(3); nil for names, ports, zones and short forms such as `127.1`.
    package init?(_ text: String) {
        guard !text.utf8.contains(0) else { return nil }
        var buffer = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &buffer) == 1 {
            self.init(bytes: Array(buffer[..<4]))
        } else if inet_pton(AF_INET6, text, &buffer) == 1 {
            self.init(bytes: buffer)
        } else {
            return nil
        }
    }

    /// The four bytes of an IPv4 address, nil for IPv6.
    package var ipv4: [UInt8]? { bytes.starts(with: Self.mappedPrefix) ? Array(bytes[12...]) : nil }

    /// The text form, IPv4 as dotted decimals.
    package var description: String {
        if let ipv4 { return ipv4.map(String.init).joined(separator: ".") }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A range of addresses: an address and the number of leading bits that count.
package struct NetworkRange: Sendable, Hashable {
    private let first: NetworkAddress
    private let bits: Int

    /// From `10.0.0.0/8`, `fd00::/8` or a single address; nil when malformed or when bits after the prefix are set.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = NetworkAddress(String(parts[0])) else { return nil }
        // Dotted text means IPv4 lengths; `::ffff:…` text means IPv6 lengths.
        let offset = parts[0].contains(":") ? 0 : 96
        var bits = 128
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let length = Int(parts[1]),
                (0...(128 - offset)).contains(length)
            else { return nil }
            bits = offset + length
        }
        first = address
        self.bits = bits
        for bit in bits..<128 where address.bytes[bit / 8] & (0x80 >> UInt8(bit % 8)) != 0 { return nil }
    }

    package func contains(_ address: NetworkAddress) -> Bool {
        let whole = bits / 8
        guard address.bytes[..<whole] == first.bytes[..<whole] else { return false }
        let mask: UInt8 = bits % 8 == 0 ? 0 : ~(0xff >> UInt8(bits % 8))
        return mask == 0 || address.bytes[whole] & mask == first.bytes[whole]
    }

    /// Whether this is all of IPv4 or all of IPv6.
    package var isEverything: Bool { bits == 0 || bits == 96 && first.ipv4 != nil }

    /// Whether every address of `other` lies in this range.
    package func covers(_ other: NetworkRange) -> Bool { bits <= other.bits && contains(other.first) }
}
