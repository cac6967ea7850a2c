import Foundation

/// Runs every body on a thread of its own, so that blocking ones do not wait for each other.
/// - Returns: their results, in order.
/// - Throws: the first error, after all have ended.
package func onThreads<R: Sendable>(_ bodies: [@Sendable () throws -> R]) throws -> [R] {
    let results = ResultBox<R>(bodies.count)
    let group = DispatchGroup()
    for (index, body) in bodies.enumerated() {
        group.enter()
        Thread.detachNewThread {
            results.set(index, Result { try body() })
            group.leave()
        }
    }
    group.wait()
    return try results.values.map { try $0.get() }
}

private final class ResultBox<R: Sendable>: @unchecked Sendable {  // Guarded by the lock.
    private let lock = NSLock()
    private var results: [Result<R, any Error>?]

    init(_ count: Int) { results = Array(repeating: nil, count: count) }

    func set(_ index: Int, _ result: Result<R, any Error>) { lock.withLock { results[index] = result } }

    var values: [Result<R, any Error>] { lock.withLock { results.compactMap { $0 } } }
}
