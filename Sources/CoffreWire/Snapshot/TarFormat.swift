/// Archives of plain files in the ustar form of POSIX.1-2017, pax, "ustar Interchange Format". Each header has one form.
package enum TarFormat {
    package static let blockBytes = 512
    /// Largest file that a header can describe: eleven octal digits.
    package static let maximumBytes = 0o77_777_777_777
    /// What stands after the last file.
    package static let end = [UInt8](repeating: 0, count: 2 * blockBytes)

    /// Zero bytes up to the next block.
    package static func padding(_ bytes: Int) -> [UInt8] { [UInt8](repeating: 0, count: -bytes & (blockBytes - 1)) }

    /// One ustar header: a plain file of mode 0600 of uid and gid 0.
    /// - Parameter name: at most 100 bytes of ASCII.
    package static func header(_ name: String, bytes: Int, time: Int64) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: blockBytes)
        func put(_ text: String, at offset: Int) {
            for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte }
        }
        func octal(_ value: Int, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
        }
        put(name, at: 0)
        put("0000600", at: 100)
        put("0000000", at: 108)
        put("0000000", at: 116)
        put(octal(bytes, 11), at: 124)
        put(octal(Int(clamping: time), 11), at: 136)
        put("        ", at: 148)  // The checksum counts as blanks while it is summed.
        put("0", at: 156)
        put("ustar", at: 257)
        put("00", at: 263)
        put("root", at: 265)
        put("root", at: 297)
        let sum = block.reduce(0) { $0 + Int($1) }
        put(octal(sum, 6), at: 148)
        block[154] = 0
        return block
    }

    /// Length and time of a header of `name`; nil when it is not exactly what ``header(_:bytes:time:)`` makes.
    package static func read(_ block: [UInt8], of name: String) -> (bytes: Int, time: Int64)? {
        func number(_ range: Range<Int>) -> Int? { Int(String(decoding: block[range], as: UTF8.self), radix: 8) }
        guard block.count == blockBytes, let bytes = number(124..<135), let time = number(136..<147), bytes >= 0,
            time >= 0, header(name, bytes: bytes, time: Int64(time)) == block
        else { return nil }
        return (bytes, Int64(time))
    }
}
