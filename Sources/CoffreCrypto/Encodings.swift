internal import CSodium

/// Lower-case hex. Encoding and decoding of secret bytes uses libsodium's constant-time routines.
package enum Hex {
    package static func encode(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// Both cases accepted; nil when the text is not an even number of hex digits.
    package static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count.isMultiple(of: 2) else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count / 2)
        var high: UInt8?
        for character in text {
            let value: UInt8
            switch character {
            case 0x30...0x39: value = character - 0x30
            case 0x61...0x66: value = character - 0x61 + 10
            case 0x41...0x46: value = character - 0x41 + 10
            default: return nil
            }
            if let first = high {
                result.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return result
    }

    /// Hex of a secret, itself a secret.
    package static func encodeSecret(_ secret: borrowing SecretBytes) -> SecretBytes {
        secret.withBytes { source in
            SecretBytes(count: source.count * 2) { target in
                for (index, byte) in source.enumerated() {
                    target[2 * index] = digit(byte >> 4)
                    target[2 * index + 1] = digit(byte & 15)
                }
            }
        }
    }

    /// Decodes hex of a secret; nil when malformed.
    package static func decodeSecret(_ text: UnsafeRawBufferPointer) -> SecretBytes? {
        guard text.count.isMultiple(of: 2), !text.isEmpty, text.allSatisfy({ $0 < 0x80 }) else { return nil }
        return try? SecretBytes(count: text.count / 2) { target throws(CryptoError) in
            var written = 0
            let status = sodium_hex2bin(
                target.octets,
                target.count,
                text.baseAddress?.assumingMemoryBound(to: CChar.self),
                text.count,
                nil,
                &written,
                nil
            )
            guard status == 0, written == target.count else { throw CryptoError(.invalidEncoding, "not hex") }
        }
    }

    private static let digits = Array("0123456789abcdef".utf8)

    // Arithmetic instead of a table: no secret-dependent memory access.
    private static func digit(_ value: UInt8) -> UInt8 {
        let wide = Int32(value)
        return UInt8(truncatingIfNeeded: 87 + wide + (((wide - 10) >> 8) & -39))
    }
}

/// Standard base64 with padding (RFC 4648 §4).
package enum Base64 {
    package static func encode(_ bytes: [UInt8]) -> String {
        bytes.withUnsafeBytes { source in
            String(decoding: encodedBytes(source), as: UTF8.self)
        }
    }

    /// Strict: padding required, no white space; nil when malformed.
    package static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        let text = Array(text)
        if text.isEmpty { return [] }
        return text.withUnsafeBytes { text in
            guard let decoded = decodeSecret(text) else { return nil }
            return decoded.withBytes { Array($0) }
        }
    }

    /// Base64 of a secret, itself a secret (constant-time).
    package static func encodeSecret(_ secret: borrowing SecretBytes) -> SecretBytes {
        secret.withBytes { source in
            SecretBytes(count: (source.count + 2) / 3 * 4) { target in
                withUnsafeTemporaryAllocation(of: CChar.self, capacity: target.count + 1) { scratch in
                    guard let start = scratch.baseAddress else { return }
                    sodium_bin2base64(
                        start,
                        scratch.count,
                        source.baseAddress?.assumingMemoryBound(to: UInt8.self),
                        source.count,
                        sodium_base64_VARIANT_ORIGINAL
                    )
                    target.copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<target.count])
                    )
                    Memory.wipe(UnsafeMutableRawBufferPointer(scratch))
                }
            }
        }
    }

    /// Decodes base64 of a secret; nil when malformed or empty.
    package static func decodeSecret(_ text: UnsafeRawBufferPointer) -> SecretBytes? {
        // libsodium takes characters as signed: bytes above ASCII would pass for others.
        guard !text.isEmpty, text.count.isMultiple(of: 4), text.allSatisfy({ $0 < 0x80 }) else { return nil }
        let padding = text.suffix(2).filter { $0 == 0x3d }.count
        return try? SecretBytes(count: text.count / 4 * 3 - padding) { target throws(CryptoError) in
            var written = 0
            let status = sodium_base642bin(
                target.octets,
                target.count,
                text.baseAddress?.assumingMemoryBound(to: CChar.self),
                text.count,
                nil,
                &written,
                nil,
                sodium_base64_VARIANT_ORIGINAL
            )
            guard status == 0, written == target.count else { throw CryptoError(.invalidEncoding, "not base64") }
        }
    }

    private static func encodedBytes(_ source: UnsafeRawBufferPointer) -> [UInt8] {
        let length = (source.count + 2) / 3 * 4
        var output = [CChar](repeating: 0, count: length + 1)
        sodium_bin2base64(
            &output,
            output.count,
            source.baseAddress?.assumingMemoryBound(to: UInt8.self),
            source.count,
            sodium_base64_VARIANT_ORIGINAL
        )
        return output.dropLast().map { UInt8(bitPattern: $0) }
    }
}

/// URL-safe base64 without padding (RFC 4648 §5).
package enum Base64URL {
    /// Base64url of a secret, itself a secret.
    package static func encodeSecret(_ secret: borrowing SecretBytes) -> SecretBytes {
        Base64.encodeSecret(secret).withBytes { text in
            let padding = text.suffix(2).filter { $0 == 0x3d }.count
            return SecretBytes(count: text.count - padding) { target in
                for index in target.indices {
                    target[index] = text[index] == 0x2b ? 0x2d : text[index] == 0x2f ? 0x5f : text[index]
                }
            }
        }
    }

    /// Decodes base64url of a secret; nil when malformed or empty.
    package static func decodeSecret(_ text: UnsafeRawBufferPointer) -> SecretBytes? {
        guard text.count % 4 != 1, !text.contains(where: { $0 == 0x2b || $0 == 0x2f || $0 == 0x3d }) else { return nil }
        return SecretBytes(count: (text.count + 3) / 4 * 4) { target in
            for index in target.indices {
                let byte = index < text.count ? text[index] : 0x3d
                target[index] = byte == 0x2d ? 0x2b : byte == 0x5f ? 0x2f : byte
            }
        }
        .withBytes { Base64.decodeSecret($0) }
    }
}
