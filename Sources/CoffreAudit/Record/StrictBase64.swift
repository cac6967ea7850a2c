internal import CoffreCrypto

/// Base64 that has one text for each value (RFC 4648 §4, with the checks of §3.5): padding where needed, zero spare
/// bits, no other byte.
enum StrictBase64 {
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count.isMultiple(of: 4) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var group: UInt32 = 0
        var filled = 0
        var padding = 0
        for character in text {
            if character == 0x3d {
                padding += 1
                group <<= 6
            } else {
                guard padding == 0, let value = value(character) else { return nil }
                group = group << 6 | value
            }
            filled += 1
            if filled == 4 {
                bytes.append(UInt8(truncatingIfNeeded: group >> 16))
                if padding < 2 { bytes.append(UInt8(truncatingIfNeeded: group >> 8)) }
                if padding < 1 { bytes.append(UInt8(truncatingIfNeeded: group)) }
                let spare: UInt32 = padding == 2 ? 0xffff : padding == 1 ? 0xff : 0
                guard padding <= 2, group & spare == 0 else { return nil }
                (group, filled) = (0, 0)
            }
        }
        return bytes
    }

    /// A hash in 44 characters.
    static func digest(_ text: UnsafeRawBufferPointer) -> Digest? {
        guard text.count == 44, text[43] == 0x3d else { return nil }
        var isValid = true
        let digest = Digest { target in
            var group: UInt32 = 0
            var written = 0
            for position in 0..<43 {
                guard let value = value(text[position]) else {
                    isValid = false
                    return
                }
                group = group << 6 | value
                if position & 3 == 3 {
                    target[written] = UInt8(truncatingIfNeeded: group >> 16)
                    target[written + 1] = UInt8(truncatingIfNeeded: group >> 8)
                    target[written + 2] = UInt8(truncatingIfNeeded: group)
                    written += 3
                    group = 0
                }
            }
            target[30] = UInt8(truncatingIfNeeded: group >> 10)
            target[31] = UInt8(truncatingIfNeeded: group >> 2)
            isValid = group & 3 == 0
        }
        return isValid ? digest : nil
    }

    @inline(__always)
    private static func value(_ character: UInt8) -> UInt32? {
        switch character {
        case 0x41...0x5a: UInt32(character - 0x41)
        case 0x61...0x7a: UInt32(character - 0x61 + 26)
        case 0x30...0x39: UInt32(character - 0x30 + 52)
        case 0x2b: 62
        case 0x2f: 63
        default: nil
        }
    }
}
