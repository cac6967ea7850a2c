internal import CoffreCrypto
internal import CoffreWire

/// The query of a callback's address as the JSON object that it stands for. Reading is pure.
enum CallbackForm {
    /// Longest, in bytes.
    static let longest = 8192
    private static let mostPairs = 32

    /// - Returns: nil for what is no form at all; another reader judges it.
    /// - Throws: ``VaultError`` `.badRequest` for one with a name twice, or with bytes that no browser sends.
    static func json(_ bytes: UnsafeRawBufferPointer) throws(VaultError) -> SharedSecret? {
        guard let first = bytes.first, isPlain(first), bytes.contains(0x3d) else { return nil }
        guard bytes.count <= longest, bytes.allSatisfy({ (0x21...0x7e).contains($0) }) else { throw refusal }
        var names = Set<[UInt8]>()
        // Held to its own size: `\\u00xx` for each byte is the longest that any becomes.
        var text: [UInt8] = [0x7b]
        defer { text.withUnsafeMutableBytes { Memory.wipe($0) } }
        text.reserveCapacity(bytes.count * 6 + mostPairs * 6 + 2)
        for pair in bytes.split(separator: 0x26) {
            let halves = pair.split(separator: 0x3d, maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decoded(halves[0]), (1...64).contains(name.count), names.count < mostPairs,
                names.insert(name).inserted, halves.count == 2, var value = decoded(halves[1])
            else { throw refusal }
            defer { value.withUnsafeMutableBytes { Memory.wipe($0) } }
            if text.count > 1 { text.append(0x2c) }
            append(name, to: &text)
            text.append(0x3a)
            append(value, to: &text)
        }
        text.append(0x7d)
        return SharedSecret(copying: text)
    }

    private static var refusal: VaultError {
        .badRequest("the body is a JSON object, or the query of the callback's address")
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f
    }

    /// Nil for a `%` that begins nothing, or for what is not UTF-8.
    private static func decoded(_ part: Slice<UnsafeRawBufferPointer>) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(part.count)
        var rest = part
        while let byte = rest.popFirst() {
            guard byte == 0x25 else {
                result.append(byte == 0x2b ? 0x20 : byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                return nil
            }
            result.append(high << 4 | low)
        }
        return String(validating: result, as: UTF8.self) == nil ? nil : result
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }

    private static func append(_ bytes: [UInt8], to text: inout [UInt8]) {
        text.append(0x22)
        for byte in bytes {
            switch byte {
            case 0x22, 0x5c: text += [0x5c, byte]
            case 0..<0x20: text += Array("\\u00".utf8) + Array(Hex.encode([byte]).utf8)
            default: text.append(byte)
            }
        }
        text.append(0x22)
    }
}
