/// Up to 64 bytes on the stack.
struct OctetBuffer64 {
    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
    private(set) var count = 0

    mutating func append(_ byte: UInt8) {
        precondition(count < 64, "the buffer is full")
        let position = count
        withUnsafeMutableBytes(of: &words) { $0[position] = byte }
        count += 1
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= 64 - count, "the buffer is full")
        let position = count
        withUnsafeMutableBytes(of: &words) {
            UnsafeMutableRawBufferPointer(rebasing: $0[position...]).copyMemory(from: bytes)
        }
        count += bytes.count
    }

    mutating func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

    func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try withUnsafeBytes(of: words) { bytes throws(E) in
            try body(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
    }
}

extension [UInt8] {
    /// `withUnsafeBytes` with a typed error.
    func withOctets<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try withUnsafeBufferPointer { bytes throws(E) in try body(UnsafeRawBufferPointer(bytes)) }
    }

    /// `withUnsafeMutableBytes` with a typed error.
    mutating func withMutableOctets<R, E: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try withUnsafeMutableBufferPointer { bytes throws(E) in try body(UnsafeMutableRawBufferPointer(bytes)) }
    }
}
