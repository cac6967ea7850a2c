/// JSON string escapes, both ways.
enum JSONEscape {
    /// The four hex digits at `offset` as a code unit, or nil.
    static func hexUnit(_ text: UnsafeRawBufferPointer, at offset: Int) -> UInt32? {
        var unit: UInt32 = 0
        for index in offset..<offset + 4 {
            let digit: UInt8
            switch text[index] {
            case 0x30...0x39: digit = text[index] - 0x30
            case 0x61...0x66: digit = text[index] - 0x61 + 10
            case 0x41...0x46: digit = text[index] - 0x41 + 10
            default: return nil
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// Decodes the inside of a validated JSON string into `emit`, byte by byte as UTF-8.
    static func decode(_ inner: UnsafeRawBufferPointer, emit: (UInt8) -> Void) {
        var position = 0
        while position < inner.count {
            let byte = inner[position]
            guard byte == 0x5c else {
                emit(byte)
                position += 1
                continue
            }
            switch inner[position + 1] {
            case 0x62: emit(0x08)
            case 0x66: emit(0x0c)
            case 0x6e: emit(0x0a)
            case 0x72: emit(0x0d)
            case 0x74: emit(0x09)
            case 0x75:
                var scalar = hexUnit(inner, at: position + 2) ?? 0
                position += 6
                if (0xd800...0xdbff).contains(scalar), let low = hexUnit(inner, at: position + 2) {
                    scalar = 0x10000 + ((scalar - 0xd800) << 10) + (low - 0xdc00)
                    position += 6
                }
                if let scalar = Unicode.Scalar(scalar) {
                    for unit in UTF8.encode(scalar) ?? UTF8.EncodedScalar() { emit(unit) }
                }
                continue
            default: emit(inner[position + 1])
            }
            position += 2
        }
    }

    /// Appends `text` as a JSON string with its quotes; escapes the quote, the backslash and control bytes only.
    static func append(_ text: some Sequence<UInt8>, to output: inout [UInt8]) {
        output.append(0x22)
        for byte in text {
            switch byte {
            case 0x22, 0x5c:
                output.append(0x5c)
                output.append(byte)
            case 0x0a: output.append(contentsOf: [0x5c, 0x6e])
            case 0x0d: output.append(contentsOf: [0x5c, 0x72])
            case 0x09: output.append(contentsOf: [0x5c, 0x74])
            case 0..<0x20:
                output.append(contentsOf: [0x5c, 0x75, 0x30, 0x30])
                output.append(hex[Int(byte >> 4)])
                output.append(hex[Int(byte & 15)])
            default: output.append(byte)
            }
        }
        output.append(0x22)
    }

    private static let hex = Array("0123456789abcdef".utf8)
}
