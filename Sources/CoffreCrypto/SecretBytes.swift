internal import CSodium
internal import Glibc

/// Sole owner of secret bytes, wiped when it goes.
///
/// Keys live in pages of their own (`sodium_malloc`: guard pages, locked, not dumped); plaintexts in a slot of the
/// guarded arena. A plaintext for which no slot is free, or larger than the largest slot, lies in ordinary memory that is
/// wiped when freed: the process is undumpable, but such bytes may reach swap where swap exists.
package struct SecretBytes: ~Copyable, @unchecked Sendable {  // Immutable after initialisation, sole owner.
    private enum Home {
        case pages
        case arena(sizeClass: Int)
        case heap
    }

    private let base: UnsafeMutableRawPointer
    private let home: Home
    /// Length in bytes.
    package let count: Int

    /// Guarded pages for a key of `count` bytes, filled by `fill` (which sees zeroed memory).
    /// - Throws: whatever `fill` throws; the memory is wiped then. Traps when the system is out of memory.
    package static func key<E: Error>(
        count: Int,
        fill: (UnsafeMutableRawBufferPointer) throws(E) -> Void
    ) throws(E) -> SecretBytes {
        Sodium.require()
        guard let base = sodium_malloc(max(count, 1)) else { preconditionFailure("no memory for a key") }
        sodium_memzero(base, max(count, 1))
        do {
            try fill(UnsafeMutableRawBufferPointer(start: base, count: count))
        } catch {
            sodium_free(base)
            throw error
        }
        return SecretBytes(base: base, home: .pages, count: count)
    }

    /// A plaintext of `count` bytes in an arena slot (or wiped heap memory), filled by `fill`.
    package init<E: Error>(count: Int, fill: (UnsafeMutableRawBufferPointer) throws(E) -> Void) throws(E) {
        let base: UnsafeMutableRawPointer
        let home: Home
        if let slot = GuardedArena.shared.take(count) {
            (base, home) = (slot.pointer, .arena(sizeClass: slot.sizeClass))
        } else {
            base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 16)
            sodium_memzero(base, max(count, 1))
            home = .heap
        }
        do {
            try fill(UnsafeMutableRawBufferPointer(start: base, count: count))
        } catch {
            Self.release(base, home, count)
            throw error
        }
        self.init(base: base, home: home, count: count)
    }

    /// A plaintext copied from `bytes`; the caller wipes its own copy.
    package init(copying bytes: UnsafeRawBufferPointer) {
        self.init(count: bytes.count) { target in target.copyMemory(from: bytes) }
    }

    private init(base: UnsafeMutableRawPointer, home: Home, count: Int) {
        self.base = base
        self.home = home
        self.count = count
    }

    /// A fresh uniformly random key in guarded pages.
    package static func randomKey(count: Int) -> SecretBytes {
        key(count: count) { buffer in
            if let start = buffer.baseAddress { randombytes_buf(start, buffer.count) }
        }
    }

    /// A key in guarded pages, copied from `bytes`.
    package static func key(copying bytes: UnsafeRawBufferPointer) -> SecretBytes {
        key(count: bytes.count) { target in target.copyMemory(from: bytes) }
    }

    /// Lends the bytes for the length of `body`. Do not let the pointer escape.
    package borrowing func withBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Whether both hold the same bytes, in time that depends on the lengths only.
    package borrowing func isEqual(to other: borrowing SecretBytes) -> Bool {
        guard count == other.count else { return false }
        return sodium_memcmp(base, other.base, count) == 0
    }

    private static func release(_ base: UnsafeMutableRawPointer, _ home: Home, _ count: Int) {
        switch home {
        case .pages: sodium_free(base)
        case .arena(let sizeClass): GuardedArena.shared.give(base, sizeClass: sizeClass)
        case .heap:
            sodium_memzero(base, max(count, 1))
            base.deallocate()
        }
    }

    deinit { Self.release(base, home, count) }
}

/// A shared handle on secret bytes, for values that travel through closures. Wiped with the last reference.
package final class SharedSecret: Sendable, CustomStringConvertible {
    private let bytes: SecretBytes
    private let range: Range<Int>

    package var count: Int { range.count }
    package var description: String { "<\(count) secret bytes>" }

    package init(_ bytes: consuming SecretBytes) {
        range = 0..<bytes.count
        self.bytes = bytes
    }

    /// Only `range` of `bytes` counts; the rest is wiped with it.
    package init(_ bytes: consuming SecretBytes, range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a range outside of its bytes")
        self.range = range
        self.bytes = bytes
    }

    /// Copies `source` into the guarded arena.
    package convenience init(copying source: UnsafeRawBufferPointer) { self.init(SecretBytes(copying: source)) }

    package convenience init(copying source: [UInt8]) {
        self.init(SecretBytes(count: source.count) { $0.copyBytes(from: source) })
    }

    /// Lends the bytes for the length of `body`. Do not let the pointer escape.
    package func withBytes<R: ~Copyable, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try bytes.withBytes { bytes throws(E) in try body(UnsafeRawBufferPointer(rebasing: bytes[range])) }
    }

    /// Lends the owner, for operations that take a borrowed key.
    package func withSecret<R: ~Copyable, E: Error>(_ body: (borrowing SecretBytes) throws(E) -> R) throws(E) -> R {
        if range.count == bytes.count { return try body(bytes) }
        let copy = bytes.withBytes { SecretBytes.key(copying: UnsafeRawBufferPointer(rebasing: $0[range])) }
        return try body(copy)
    }
}

/// Fills, compares and wipes raw memory.
package enum Memory {
    /// Overwrites memory in a way that the optimiser keeps.
    package static func wipe(_ buffer: UnsafeMutableRawBufferPointer) {
        if let start = buffer.baseAddress { sodium_memzero(start, buffer.count) }
    }

    /// Whether both buffers hold the same bytes, in time that depends on the lengths only.
    package static func isEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let a = left.baseAddress, let b = right.baseAddress else { return true }
        return sodium_memcmp(a, b, left.count) == 0
    }
}
