/// SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"), so that nobody can choose names that collide in
/// the detectors' tables; Swift's own hash has another key in every process and cannot be kept.
struct SipHash: Sendable, Equatable {
    let key0: UInt64
    let key1: UInt64

    func callAsFunction(_ text: String, _ other: String? = nil) -> UInt64 {
        var text = text
        let first = text.withUTF8 { hash($0, 0) }
        guard var other else { return first }
        return other.withUTF8 { hash($0, first) }
    }

    /// - Parameter tweak: makes another function of it.
    func hash(_ bytes: UnsafeBufferPointer<UInt8>, _ tweak: UInt64) -> UInt64 {
        var v0 = key0 ^ 0x736f_6d65_7073_6575
        var v1 = key1 ^ tweak ^ 0x646f_7261_6e64_6f6d
        var v2 = key0 ^ 0x6c79_6765_6e65_7261
        var v3 = key1 ^ tweak ^ 0x7465_6462_7974_6573
        func round() {
            v0 &+= v1
            v1 = v1 &<< 13 | v1 &>> 51
            v1 ^= v0
            v0 = v0 &<< 32 | v0 &>> 32
            v2 &+= v3
            v3 = v3 &<< 16 | v3 &>> 48
            v3 ^= v2
            v0 &+= v3
            v3 = v3 &<< 21 | v3 &>> 43
            v3 ^= v0
            v2 &+= v1
            v1 = v1 &<< 17 | v1 &>> 47
            v1 ^= v2
            v2 = v2 &<< 32 | v2 &>> 32
        }
        let raw = UnsafeRawBufferPointer(bytes)
        var offset = 0
        while offset + 8 <= raw.count {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            v3 ^= word
            round()
            round()
            v0 ^= word
            offset += 8
        }
        var last = UInt64(raw.count & 0xff) << 56
        var shift: UInt64 = 0
        while offset < raw.count {
            last |= UInt64(raw[offset]) << shift
            shift += 8
            offset += 1
        }
        v3 ^= last
        round()
        round()
        v0 ^= last
        v2 ^= 0xff
        round()
        round()
        round()
        round()
        return v0 ^ v1 ^ v2 ^ v3
    }
}
