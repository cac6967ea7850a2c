/// The memory that large request bodies of all connections may take together. Used on one event loop only.
///
/// Bodies up to ``freeBytes`` do not count, so a flood of uploads never keeps small requests out.
package final class BodyMemory {
    package static let freeBytes = 16_384
    package let limitBytes: Int
    package private(set) var usedBytes = 0

    package init(limitBytes: Int) { self.limitBytes = limitBytes }

    /// Sets aside `count` bytes more, or says that there is no room.
    func reserve(_ count: Int) -> Bool {
        guard usedBytes + count <= limitBytes else { return false }
        usedBytes += count
        return true
    }

    func release(_ count: Int) { usedBytes -= count }
}

@available(*, unavailable) extension BodyMemory: Sendable {}
