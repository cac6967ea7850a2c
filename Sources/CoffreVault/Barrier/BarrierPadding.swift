/// Plaintexts in size buckets: length(4, BE) ‖ bytes ‖ zeros, to a power of two from 32 bytes to 4 KiB, then to
/// multiples of 4 KiB.
package enum BarrierPadding {
    package static let smallestBytes = 32
    package static let stepBytes = 4096
    package static let lengthBytes = 4

    /// The padded length of `count` bytes.
    package static func paddedCount(_ count: Int) -> Int {
        let needed = count + lengthBytes
        if needed > stepBytes { return (needed + stepBytes - 1) / stepBytes * stepBytes }
        var bucket = smallestBytes
        while bucket < needed { bucket *= 2 }
        return bucket
    }

    /// Writes the padded form of `bytes` into `target`, which has exactly `paddedCount` zeroed or used bytes.
    package static func pad(_ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) {
        precondition(target.count == paddedCount(bytes.count), "a bucket of another size")
        target.storeBytes(of: UInt32(bytes.count).bigEndian, as: UInt32.self)
        UnsafeMutableRawBufferPointer(rebasing: target[lengthBytes...]).copyMemory(from: bytes)
        UnsafeMutableRawBufferPointer(rebasing: target[(lengthBytes + bytes.count)...])
            .initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// The content of a padded plaintext; nil unless it is exactly what `pad` writes.
    package static func content(of padded: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard padded.count >= smallestBytes else { return nil }
        let count = Int(UInt32(bigEndian: padded.loadUnaligned(as: UInt32.self)))
        guard padded.count == paddedCount(count) else { return nil }
        var rest: UInt8 = 0
        for byte in padded[(lengthBytes + count)...] { rest |= byte }
        return rest == 0 ? UnsafeRawBufferPointer(rebasing: padded[lengthBytes..<lengthBytes + count]) : nil
    }
}
