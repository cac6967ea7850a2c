internal import CSodium
internal import Synchronization

/// One region of guarded memory (guard pages, locked, excluded from core files), cut into slots for plaintexts.
///
/// `sodium_malloc` costs tens of microseconds a call, so request plaintexts live in slots of a region that is
/// allocated once. A freed slot is wiped before it can be used again.
package final class GuardedArena: Sendable {
    /// Slot sizes in bytes and how many of each: 1.9 MiB in all, well under an 8 MiB memlock limit.
    package static let sizeClasses: [(bytes: Int, count: Int)] = [(128, 2048), (512, 1024), (4096, 144), (65_536, 8)]

    package static let shared = GuardedArena()

    private struct State {
        var free: [[Int]]
    }

    // The region lives as long as the process: `shared` is never freed.
    nonisolated(unsafe) private let base: UnsafeMutableRawPointer?  // Immutable; slots are handed out under the mutex.
    private let state: Mutex<State>
    /// False when the kernel refused to lock the region: plaintexts may then reach swap.
    package let isLocked: Bool

    private init() {
        Sodium.require()
        let total = Self.sizeClasses.reduce(0) { $0 + $1.bytes * $1.count }
        let region = sodium_malloc(total)
        // libsodium fills new memory with a pattern; a slot is zero when it is taken.
        if let region { sodium_memzero(region, total) }
        base = region
        isLocked = region.map { sodium_mlock($0, total) == 0 } ?? false
        var free: [[Int]] = []
        var offset = 0
        for (bytes, count) in Self.sizeClasses {
            free.append((0..<count).map { offset + (count - 1 - $0) * bytes })
            offset += bytes * count
        }
        state = Mutex(State(free: region == nil ? Self.sizeClasses.map { _ in [] } : free))
    }

    /// A slot of at least `count` bytes, or nil when none is free or `count` exceeds the largest class.
    func take(_ count: Int) -> (pointer: UnsafeMutableRawPointer, sizeClass: Int)? {
        guard let base else { return nil }
        let found: (offset: Int, sizeClass: Int)? = state.withLock { state in
            for (index, entry) in Self.sizeClasses.enumerated() where entry.bytes >= count {
                if let offset = state.free[index].popLast() { return (offset, index) }
            }
            return nil
        }
        return found.map { (base + $0.offset, $0.sizeClass) }
    }

    /// Wipes the slot and makes it available again.
    func give(_ pointer: UnsafeMutableRawPointer, sizeClass: Int) {
        guard let base else { return }
        sodium_memzero(pointer, Self.sizeClasses[sizeClass].bytes)
        let offset = pointer - base
        state.withLock { $0.free[sizeClass].append(offset) }
    }
}
