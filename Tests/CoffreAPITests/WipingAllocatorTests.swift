import CoffreAPI
import CoffreCrypto
@_spi(Unrecorded) import CoffreVault
import NIOCore
import Synchronization
import Testing

@Suite(.serialized)
struct WipingAllocatorTests {
    /// Counts freed blocks and those that still held anything.
    private final class Watch: Sendable {
        let blocks = Mutex(0)
        let dirty = Mutex(0)

        init() {
            WipingMemory.observe { block in
                self.blocks.withLock { $0 += 1 }
                if block.contains(where: { $0 != 0 }) { self.dirty.withLock { $0 += 1 } }
            }
        }

        func stop() { WipingMemory.observe(nil) }
    }

    @Test
    func freedAndOutgrownBlocksAreWiped() {
        let canary = Array("canary-5f1c".utf8)
        let watch = Watch()
        defer { watch.stop() }
        do {
            var buffer = ByteBufferAllocator.wiping.buffer(capacity: 16)
            for _ in 0..<100 { buffer.writeBytes(canary) }
            var copy = buffer
            copy.writeBytes(canary)
            #expect(copy.readableBytes == 101 * canary.count)
            #expect(buffer.readableBytes == 100 * canary.count)
        }
        #expect(watch.blocks.withLock { $0 } >= 3)
        #expect(watch.dirty.withLock { $0 } == 0)
    }

    @Test
    func noBufferOfAConnectionKeepsARequestOrAnAnswer() async throws {
        let canary = "canary-7d2e91"
        let watch = Watch()
        let performer = FakePerformer { request in
            var body = ResponseBody()
            if let secret = request.body { body.append(secret) }
            return .unrecorded(status: 200, body: body)
        }
        try await ServerFixture.with(performer: performer) { fixture in
            let client = try fixture.connect()
            let body = String(repeating: canary, count: 2000)
            for _ in 0..<3 {
                client.send(
                    "PUT /v1/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: \(canary)\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
                )
                client.send(body)
                #expect(await client.receive()?.body == body)
            }
        }
        watch.stop()
        #expect(watch.blocks.withLock { $0 } > 6)
        #expect(watch.dirty.withLock { $0 } == 0)
    }
}
