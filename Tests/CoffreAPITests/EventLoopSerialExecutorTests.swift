import CoffreAPI
import NIOCore
import NIOPosix
import Testing

/// An actor on an event loop, as the vault is.
private actor Counter {
    nonisolated let executor: EventLoopSerialExecutor
    private(set) var value = 0

    init(_ executor: EventLoopSerialExecutor) { self.executor = executor }

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    func add() -> Bool {
        value += 1
        return executor.eventLoop.inEventLoop
    }
}

private func assumeOnTheWrongThread(_ counter: Counter) {
    counter.assumeIsolated { _ = $0.add() }
}

struct EventLoopSerialExecutorTests {
    private func withLoop<R: Sendable>(_ body: (any EventLoop) async throws -> R) async throws -> R {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let result = try await body(group.next())
        try await group.shutdownGracefully()
        return result
    }

    @Test
    func theActorRunsOnTheLoop() async throws {
        try await withLoop { loop in
            let counter = Counter(EventLoopSerialExecutor(loop))
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<500 { group.addTask { await counter.add() } }
                for await isOnLoop in group { #expect(isOnLoop) }
            }
            #expect(await counter.value == 500)
        }
    }

    @Test
    func codeOfTheLoopIsAlreadyIsolated() async throws {
        try await withLoop { loop in
            let counter = Counter(EventLoopSerialExecutor(loop))
            let value = try await loop.submit {
                counter.assumeIsolated { isolated in
                    _ = isolated.add()
                    return isolated.value
                }
            }.get()
            #expect(value == 1)
        }
    }

    @Test
    func executorsOfOneLoopAreTheSameContext() async throws {
        try await withLoop { loop in
            let first = EventLoopSerialExecutor(loop)
            #expect(first.isSameExclusiveExecutionContext(other: EventLoopSerialExecutor(loop)))
            #expect(first.isIsolatingCurrentContext() == false)
        }
    }

    @Test
    func codeElsewhereIsNotIsolated() async {
        await #expect(processExitsWith: .failure) {
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let counter = Counter(EventLoopSerialExecutor(group.next()))
            assumeOnTheWrongThread(counter)
        }
    }
}
