/// A growing run of bytes that one owner fills and empties again without giving the memory back.
struct ByteBuffer: ~Copyable {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = max(capacity, 64)
        base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// The bytes from `start` on.
    func suffix(from start: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + start, count: count - start)
    }

    mutating func removeAll() { count = 0 }

    /// Forgets everything from `length` on.
    mutating func truncate(to length: Int) { count = length }

    /// Room for `extra` more bytes; the caller writes them and calls ``advance(by:)``.
    @inline(__always)
    mutating func reserve(_ extra: Int) -> UnsafeMutablePointer<UInt8> {
        if count + extra > capacity { grow(to: count + extra) }
        return (base + count).assumingMemoryBound(to: UInt8.self)
    }

    @inline(__always)
    mutating func advance(by written: Int) { count += written }

    private mutating func grow(to needed: Int) {
        let larger = max(needed, capacity * 2)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        moved.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = moved
        capacity = larger
    }

    @inline(__always)
    mutating func append(byte: UInt8) {
        reserve(1).pointee = byte
        count += 1
    }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        let length = text.utf8CodeUnitCount
        reserve(length).update(from: text.utf8Start, count: length)
        count += length
    }

    @inline(__always)
    mutating func append(_ source: UnsafeRawBufferPointer) {
        guard let start = source.baseAddress else { return }
        UnsafeMutableRawPointer(reserve(source.count)).copyMemory(from: start, byteCount: source.count)
        count += source.count
    }

    mutating func append(_ source: [UInt8]) { source.withUnsafeBytes { append($0) } }

    /// Decimal digits.
    mutating func append(decimal value: UInt64) {
        var value = value
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var position = 20
            repeat {
                position -= 1
                digits[position] = 0x30 + UInt8(truncatingIfNeeded: value % 10)
                value /= 10
            } while value > 0
            append(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(digits)[position...]))
        }
    }

    /// Standard base64 with padding (RFC 4648 §4).
    mutating func append(base64 source: UnsafeRawBufferPointer) {
        let target = reserve((source.count + 2) / 3 * 4)
        var read = 0
        var write = 0
        while read + 3 <= source.count {
            let group = UInt32(source[read]) << 16 | UInt32(source[read + 1]) << 8 | UInt32(source[read + 2])
            target[write] = Self.symbol(group >> 18)
            target[write + 1] = Self.symbol(group >> 12)
            target[write + 2] = Self.symbol(group >> 6)
            target[write + 3] = Self.symbol(group)
            read += 3
            write += 4
        }
        let left = source.count - read
        if left > 0 {
            let group = UInt32(source[read]) << 16 | (left == 2 ? UInt32(source[read + 1]) << 8 : 0)
            target[write] = Self.symbol(group >> 18)
            target[write + 1] = Self.symbol(group >> 12)
            target[write + 2] = left == 2 ? Self.symbol(group >> 6) : 0x3d
            target[write + 3] = 0x3d
            write += 4
        }
        count += write
    }

    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    @inline(__always)
    private static func symbol(_ bits: UInt32) -> UInt8 { alphabet.utf8Start[Int(bits & 63)] }
}
