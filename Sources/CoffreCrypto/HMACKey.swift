internal import COpenSSL
internal import CSodium

/// An HMAC-SHA-256 key (RFC 2104, FIPS 198-1) with both padded states computed once, in guarded memory.
package final class HMACKey: Sendable {
    private let states: SecretBytes  // two SHA256_CTX: inner, outer

    /// - Parameter key: any length; longer than 64 bytes is hashed first, as the RFC says.
    package init(_ key: borrowing SecretBytes) {
        states = key.withBytes { Self.makeStates($0) }
    }

    private static func makeStates(_ key: UnsafeRawBufferPointer) -> SecretBytes {
        SecretBytes.key(count: 2 * MemoryLayout<SHA256_CTX>.stride) { target in
            var block = [UInt8](repeating: 0, count: 64)
            defer { block.withUnsafeMutableBytes { Memory.wipe($0) } }
            if key.count > 64 {
                let hashed = SHA256.hash(key)
                block.withUnsafeMutableBytes { block in hashed.withUnsafeBytes { block.copyMemory(from: $0) } }
            } else {
                block.withUnsafeMutableBytes { $0.copyMemory(from: key) }
            }
            for (index, pad) in [UInt8(0x36), 0x5c].enumerated() {
                for position in 0..<64 { block[position] ^= pad }
                var context = SHA256_CTX()
                SHA256_Init(&context)
                SHA256_Update(&context, block, 64)
                for position in 0..<64 { block[position] ^= pad }
                withUnsafeBytes(of: &context) { source in
                    UnsafeMutableRawBufferPointer(rebasing: target[(index * MemoryLayout<SHA256_CTX>.stride)...])
                        .copyMemory(from: source)
                }
                withUnsafeMutableBytes(of: &context) { Memory.wipe($0) }
            }
        }
    }

    /// The tag over what `feed` passes to `update`, in order. The caller makes the input unambiguous.
    package func authenticate(_ feed: ((UnsafeRawBufferPointer) -> Void) -> Void) -> Digest {
        states.withBytes { states in
            var inner = states.loadUnaligned(fromByteOffset: 0, as: SHA256_CTX.self)
            feed { bytes in
                if let start = bytes.baseAddress { SHA256_Update(&inner, start, bytes.count) }
            }
            var middle: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
            var outer = states.loadUnaligned(
                fromByteOffset: MemoryLayout<SHA256_CTX>.stride,
                as: SHA256_CTX.self
            )
            return withUnsafeMutableBytes(of: &middle) { middle in
                Digest { target in
                    guard let start = target.baseAddress, let between = middle.baseAddress else { return }
                    SHA256_Final(between.assumingMemoryBound(to: UInt8.self), &inner)
                    SHA256_Update(&outer, between, 32)
                    SHA256_Final(start.assumingMemoryBound(to: UInt8.self), &outer)
                }
            }
        }
    }

    package func authenticate(_ bytes: UnsafeRawBufferPointer) -> Digest { authenticate { $0(bytes) } }

    package func authenticate(_ bytes: [UInt8]) -> Digest { bytes.withUnsafeBytes { authenticate($0) } }
}
