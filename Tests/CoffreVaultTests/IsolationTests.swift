import Dispatch
import Testing

@testable import CoffreVault

/// The vault's state is confined to one executor; what waits for a turn must come back to it.
@Suite
struct IsolationTests {
    private static let mark = DispatchSpecificKey<Bool>()

    private final class QueueExecutor: SerialExecutor {
        private let queue = DispatchQueue(label: "keeper")

        init() { queue.setSpecific(key: IsolationTests.mark, value: true) }

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
        }
    }

    private actor Keeper {
        private nonisolated let executor = QueueExecutor()
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        private let locks = KeyedLocks()

        private func inTurn<R>(_ body: () async throws -> R, _ note: () -> Void) async rethrows -> R {
            // As the vault's own turns do: nothing here names the actor.
            let locks = locks
            return try await locks.withLock([1]) {
                note()
                defer { note() }
                return try await body()
            }
        }

        /// How many steps were not taken on the executor.
        func strays() async -> Int {
            var strays = 0
            func note() { if DispatchQueue.getSpecific(key: IsolationTests.mark) != true { strays += 1 } }
            for _ in 0..<100 {
                await inTurn(
                    {
                        note()
                        await Task.yield()
                        note()
                    },
                    note
                )
            }
            return strays
        }
    }

    @Test func aTurnIsTakenOnTheExecutorOfWhoWaitsForIt() async {
        #expect(await Keeper().strays() == 0)
    }
}
