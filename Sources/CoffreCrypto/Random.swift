internal import CSodium
internal import Synchronization

/// Cryptographic randomness from the kernel (getrandom(2), through libsodium).
package enum Random {
    /// `count` random bytes that are not secret (nonces, ids).
    package static func bytes(_ count: Int) -> [UInt8] {
        Sodium.require()
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
            if let start = buffer.baseAddress { randombytes_buf(start, count) }
            written = count
        }
    }

    /// Two random words for an id that is not secret, from a pool that is filled 4 KiB at a time: a system call for each
    /// request would cost more than the request's decision.
    package static func publicWords() -> (UInt64, UInt64) {
        pool.withLock { pool in
            if pool.count < 2 {
                pool = bytes(4096).withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
            }
            return (pool.removeLast(), pool.removeLast())
        }
    }

    private static let pool = Mutex<[UInt64]>([])

    package static func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        Sodium.require()
        if let start = buffer.baseAddress { randombytes_buf(start, buffer.count) }
    }

    /// A uniform number below `bound` (no modulo bias).
    package static func number(below bound: UInt32) -> UInt32 {
        Sodium.require()
        return randombytes_uniform(bound)
    }

    /// `count` random base62 characters: 5.95 bits each.
    package static func base62(_ count: Int) -> String {
        String(decoding: (0..<count).map { _ in Base62.alphabet[Int(number(below: 62))] }, as: UTF8.self)
    }

    /// A secret of `count` random base62 characters after `prefix`, in the guarded arena.
    package static func secretBase62(_ count: Int, prefix: String = "") -> SharedSecret {
        let head = Array(prefix.utf8)
        return SharedSecret(
            SecretBytes(count: head.count + count) { target in
                target.copyBytes(from: head)
                for index in head.count..<head.count + count { target[index] = Base62.alphabet[Int(number(below: 62))] }
            }
        )
    }
}

package enum Base62 {
    package static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
}
