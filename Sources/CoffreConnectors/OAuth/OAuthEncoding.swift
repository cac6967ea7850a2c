internal import CoffreWire

/// RFC 3986 §2.1, which is also what decoders of forms understand.
enum PercentEncoding {
    private static let digits = Array("0123456789ABCDEF".utf8)

    static func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + 16)
        for byte in bytes {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: result.append(byte)
            default: result += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return result
    }

    /// The pairs of a form (RFC 5849 §3.4.1.3.1): `+` is a space; a `%` that begins nothing stands for itself.
    static func pairs(_ form: some Collection<UInt8>) -> [(name: [UInt8], value: [UInt8])] {
        form.split(separator: 0x26).map { pair in
            let halves = pair.split(separator: 0x3d, maxSplits: 1, omittingEmptySubsequences: false)
            return (decode(Array(halves[0])), halves.count == 2 ? decode(Array(halves[1])) : [])
        }
    }

    private static func decode(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == 0x25, index + 2 < bytes.count, let byte = hex(bytes[index + 1], bytes[index + 2]) {
                result.append(byte)
                index += 3
            } else {
                result.append(bytes[index] == 0x2b ? 0x20 : bytes[index])
                index += 1
            }
        }
        return result
    }

    private static func hex(_ high: UInt8, _ low: UInt8) -> UInt8? {
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x41...0x46: byte - 0x37
            case 0x61...0x66: byte - 0x57
            default: nil
            }
        }
        guard let high = digit(high), let low = digit(low) else { return nil }
        return high << 4 | low
    }
}

/// Parameters with secrets among them, as a form or as JSON.
struct OAuthParameters {
    private(set) var items: [(name: String, value: [UInt8])] = []

    mutating func append(_ name: String, bytes: [UInt8]) { items.append((name, bytes)) }

    mutating func append(_ name: String, _ text: String?) {
        if let text { append(name, bytes: Array(text.utf8)) }
    }

    mutating func append(_ name: String, secret: UnsafeRawBufferPointer?) {
        if let secret { append(name, bytes: Array(secret)) }
    }

    func encoded(as body: BrokerOAuth.Body) -> [UInt8]? {
        switch body {
        case .none: nil
        case .form: form
        case .json: json
        }
    }

    private var form: [UInt8] {
        let parts = items.map { PercentEncoding.encode($0.name.utf8) + [0x3d] + PercentEncoding.encode($0.value) }
        return Array(parts.joined(separator: [0x26]))
    }

    private var json: [UInt8] {
        // The job's texts are UTF-8, and its secrets printable ASCII.
        let members = items.map { JSONValue.Member($0.name, .string(String(decoding: $0.value, as: UTF8.self))) }
        return JSONValue.object(members).encoded()
    }
}
