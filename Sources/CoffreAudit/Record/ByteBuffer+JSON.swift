internal import CoffreCrypto

/// Keys the short digest that stands for a value over its limit.
typealias ValueDigest = HMACKey

/// The strict form of a record line: a subset of RFC 8785 in which hostile code points are escaped before JSON is.
extension ByteBuffer {
    /// A string over this many UTF-8 bytes is written as `{"h":digest,"n":length}`.
    static let valueLimitBytes = 512

    /// A JSON string. Code points outside letters, marks, numbers, punctuation, symbols and the plain space become
    /// `\u{HEX}`, a backslash is doubled; both before JSON's own escapes. Reversible, and safe to print.
    mutating func append(text: String) {
        append(byte: 0x22)
        let done: Void? = text.utf8.withContiguousStorageIfAvailable { append(safe: $0) }
        if done == nil { Array(text.utf8).withUnsafeBufferPointer { append(safe: $0) } }
        append(byte: 0x22)
    }

    private mutating func append(safe source: UnsafeBufferPointer<UInt8>) {
        let target = reserve(source.count)
        var position = 0
        while position < source.count {
            let byte = source[position]
            guard byte >= 0x20, byte < 0x7f, byte != 0x22, byte != 0x5c else { break }
            target[position] = byte
            position += 1
        }
        advance(by: position)
        guard position < source.count else { return }
        for scalar in String(decoding: UnsafeBufferPointer(rebasing: source[position...]), as: UTF8.self).unicodeScalars
        {
            append(scalar: scalar)
        }
    }

    private mutating func append(scalar: Unicode.Scalar) {
        switch scalar {
        case "\"": append(#"\""#)
        case "\\": append(#"\\\\"#)
        case _ where PrintableText.isPrintable(scalar):
            for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { append(byte: byte) }
        default:
            append(#"\\u{"#)
            for digit in String(scalar.value, radix: 16, uppercase: true).utf8 { append(byte: digit) }
            append(byte: 0x7d)
        }
    }

    /// A JSON string, or its digest and length when it is over `limit` bytes. Without `digest` an overlong value
    /// cannot be written: false, and nothing is appended.
    mutating func append(bounded text: String, limit: Int, digest: ValueDigest?) -> Bool {
        guard text.utf8.count > limit else {
            append(text: text)
            return true
        }
        guard let digest else { return false }
        Array(text.utf8).withUnsafeBytes { append(digestOf: $0, count: text.utf8.count, digest: digest) }
        return true
    }

    /// `{"h":"…","n":…}`.
    mutating func append(digestOf bytes: UnsafeRawBufferPointer, count: Int, digest: ValueDigest) {
        append(#"{"h":""#)
        append(shortDigest: DigestInput.value.digest(of: bytes, key: digest))
        append(#"","n":"#)
        append(decimal: UInt64(count))
        append(byte: 0x7d)
    }

    /// The first 16 bytes in base64: 24 characters.
    mutating func append(shortDigest digest: Digest) {
        digest.withUnsafeBytes { append(base64: UnsafeRawBufferPointer(rebasing: $0[..<16])) }
    }

    /// 44 characters.
    mutating func append(digest: Digest) { digest.withUnsafeBytes { append(base64: $0) } }

    /// An integer; outside ±(2^53−1) a decimal string, since readers keep doubles (RFC 8785 §3.2.2.3, RFC 7493 §2.2).
    mutating func append(integer value: Int64) {
        let quoted = value.magnitude > 9_007_199_254_740_991
        if quoted { append(byte: 0x22) }
        if value < 0 { append(byte: 0x2d) }
        append(decimal: value.magnitude)
        if quoted { append(byte: 0x22) }
    }

    mutating func append(unsigned value: UInt64) {
        let quoted = value > 9_007_199_254_740_991
        if quoted { append(byte: 0x22) }
        append(decimal: value)
        if quoted { append(byte: 0x22) }
    }
}

/// Which code points a line may show as they are.
enum PrintableText {
    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value >= 0x20 && scalar.value < 0x7f }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .nonspacingMark,
            .spacingMark, .enclosingMark, .decimalNumber, .letterNumber, .otherNumber, .connectorPunctuation,
            .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
            .otherPunctuation, .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
            return true
        default:
            return false
        }
    }
}
