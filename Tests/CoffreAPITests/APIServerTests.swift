import CoffreAPI
import CoffreCrypto
import CoffreHost
@_spi(Unrecorded) import CoffreVault
import Glibc
import Testing

@Suite(.serialized)
struct APIServerTests {
    @Test
    func oneConnectionCarriesManyRequests() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            for index in 0..<5 {
                client.send("GET /v1/secret/\(index) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let response = try #require(await client.receive())
                #expect(response.status == 200)
                #expect(response.body == "GET secret/\(index) 0")
            }
        }
    }

    @Test
    func headersAreExactlyWhatClientsCompare() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let head = try #require(await client.receive()).head
            #expect(
                head
                    == "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: application/json\r\nContent-Length: 7"
            )
        }
    }

    @Test
    func pipelinedRequestsAreAnsweredInOrder() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send(
                "LIST /v1/a/ HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/b HTTP/1.1\r\nHost: x\r\n\r\n"
                    + "PUT /v1/c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /v1/d HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            var bodies: [String?] = []
            for _ in 0..<4 { bodies.append(await client.receive()?.body) }
            #expect(bodies == ["LIST a/ 0", "GET b 0", "PUT c 2", "GET d 0"])
        }
    }

    @Test
    func theCallerIsWhoTheKernelSays() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = await client.receive()
            let principal = try #require(fixture.performer.principals.first)
            #expect(principal.uid == getuid())
            #expect(principal.pid == getpid())
        }
    }

    @Test
    func errorsAndRefusalsKeepTheirShape() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send("OPTIONS /v1/a HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
            let method = try #require(await client.receive())
            #expect(method.status == 405)
            #expect(method.body == "{\"errors\":[]}")
            let route = try #require(await client.receive())
            #expect(route.status == 404)
            #expect(route.body == "{\"errors\":[]}")
            client.send(
                "GET /v1/a%2fb HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodyGET /v1/b HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            #expect(await client.receive()?.status == 400)
            #expect(await client.receive()?.body == "GET b 0")
            #expect(fixture.performer.refused.map(\.reason) == [.methodNotAllowed, .badPath, .badPath])
        }
    }

    @Test
    func brokenFramingIsAnsweredAndTheConnectionCloses() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.1\nHost: x\r\n\r\nGET /v1/b HTTP/1.1\r\nHost: x\r\n\r\n")
            let response = try #require(await client.receive())
            #expect(response.status == 400)
            #expect(response.head.contains("\r\nConnection: close\r\n"))
            #expect(await client.isAtEnd())
            #expect(fixture.performer.requests.isEmpty)
        }
    }

    @Test
    func headSaysTheLengthWithoutTheBody() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send("HEAD /v1/abc HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/d HTTP/1.1\r\nHost: x\r\n\r\n")
            let head = try #require(await client.receive(withoutBody: true))
            #expect(head.head.hasSuffix("Content-Length: 10"))
            #expect(await client.receive()?.body == "GET d 0")
        }
    }

    @Test
    func anEmptyAnswerHasNoLength() async throws {
        let performer = FakePerformer { _ in
            .unrecorded(
                status: 204,
                headers: [
                    ("X-Vault-Namespace", "root"), ("X-Bad", "a\r\nSet-Cookie: b"), ("Bad Name", "c"),
                    ("Content-Length", "9"),
                ],
                body: ResponseBody(Array("never".utf8))
            )
        }
        try await ServerFixture.with(performer: performer) { fixture in
            let client = try fixture.connect()
            client.send("PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            let head = try #require(await client.receive()).head
            #expect(
                head == "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nX-Vault-Namespace: root\r\n"
                    + "Content-Type: application/json"
            )
        }
    }

    @Test
    func secretPiecesArriveInOrder() async throws {
        let performer = FakePerformer { _ in
            var body = ResponseBody(Array("{\"a\":\"".utf8))
            body.append(SharedSecret(copying: Array("hunter2".utf8)))
            body.append(ResponseBody(Array("\"}".utf8)))
            return .unrecorded(status: 200, body: body)
        }
        try await ServerFixture.with(performer: performer) { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let response = try #require(await client.receive())
            #expect(response.body == "{\"a\":\"hunter2\"}")
            #expect(response.head.contains("Connection: keep-alive"))
        }
    }

    @Test
    func aClientThatAsksFirstIsToldToContinue() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send("PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            #expect(await client.receive()?.head == "HTTP/1.1 100 Continue")
            client.send("{}")
            #expect(await client.receive()?.body == "PUT a 2")
        }
    }

    @Test
    func aClientThatClosesItsSideStillGetsEveryAnswer() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/b HTTP/1.1\r\nHost: x\r\n\r\n")
            client.finishSending()
            #expect(await client.receive()?.body == "GET a 0")
            #expect(await client.receive()?.body == "GET b 0")
            #expect(await client.isAtEnd())
        }
    }

    @Test
    func answersThatComeLaterStayInOrderAndReadingPauses() async throws {
        let performer = FakePerformer(holds: true)
        var configuration = APIServerConfiguration()
        configuration.pipelineBytes = 1024
        try await ServerFixture.with(configuration, performer: performer) { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/first HTTP/1.1\r\nHost: x\r\n\r\n")
            try await fixture.eventually { performer.heldCount == 1 }
            // Far more than the server reads ahead: the socket's own buffers fill, and the send times out or stops.
            var timeout = timeval(tv_sec: 0, tv_usec: 200_000)
            setsockopt(client.descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
            let request = Array("GET /v1/next HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
            let flood = Array(repeatElement(request, count: 40_000).joined())
            #expect(!client.send(flood))
            #expect(performer.heldCount == 1)
            performer.takeHeld()?.answer("one")
            #expect(await client.receive()?.body == "one")
            try await fixture.eventually { performer.heldCount == 1 }
            performer.takeHeld()?.answer("two")
            #expect(await client.receive()?.body == "two")
        }
    }

    @Test
    func anAnswerThatNobodyReadsAnyMoreIsReported() async throws {
        let performer = FakePerformer(holds: true)
        try await ServerFixture.with(performer: performer) { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
            try await fixture.eventually { performer.heldCount == 1 }
            client.hangUp()
            performer.takeHeld()?.answer("too late")
            try await fixture.eventually { performer.undelivered == 1 }
        }
    }

    @Test
    func anAnswerThatIsNotReadInTimeIsReported() async throws {
        let performer = FakePerformer { _ in
            .unrecorded(status: 200, body: ResponseBody([UInt8](repeating: 0x61, count: 8_000_000)))
        }
        var configuration = APIServerConfiguration()
        configuration.progressTimeout = .milliseconds(100)
        try await ServerFixture.with(configuration, performer: performer) { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
            try await fixture.eventually { performer.undelivered == 1 }
        }
    }

    @Test(arguments: [
        "GET /v1/a HT", "GET /v1/a HTTP/1.1\r\nHost: x\r\n",
        "PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
    ])
    func halfARequestTimesOut(half: String) async throws {
        var configuration = APIServerConfiguration()
        configuration.headTimeout = .milliseconds(80)
        configuration.progressTimeout = .milliseconds(80)
        try await ServerFixture.with(configuration) { fixture in
            let client = try fixture.connect()
            client.send(half)
            #expect(await client.receive()?.status == 408)
            #expect(await client.isAtEnd())
            #expect(fixture.performer.refused.first?.target == Array("/v1/a".utf8))
        }
    }

    @Test
    func aDrippingBodyTimesOut() async throws {
        var configuration = APIServerConfiguration()
        configuration.bodyTimeout = .milliseconds(150)
        configuration.lingerTimeout = .milliseconds(100)
        try await ServerFixture.with(configuration) { fixture in
            let client = try fixture.connect()
            client.send("PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n")
            try await fixture.eventually {
                client.send("x")
                return !fixture.performer.refused.isEmpty
            }
            #expect(await client.receive()?.status == 408)
        }
    }

    @Test
    func anIdleConnectionCloses() async throws {
        var configuration = APIServerConfiguration()
        configuration.idleTimeout = .milliseconds(60)
        try await ServerFixture.with(configuration) { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await client.receive()?.status == 200)
            #expect(await client.isAtEnd())
            #expect(fixture.performer.refused.isEmpty)
        }
    }

    @Test
    func anOversizedBodyIsRefusedWhileItIsStillBeingSent() async throws {
        var configuration = APIServerConfiguration()
        configuration.limits.bodyBytes = 100_000
        try await ServerFixture.with(configuration) { fixture in
            let declared = try fixture.connect()
            declared.send("PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
            declared.send([UInt8](repeating: 0x61, count: 5_000_000))
            #expect(await declared.receive()?.status == 413)
            let chunked = try fixture.connect()
            chunked.send("PUT /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<4 { chunked.send("8000\r\n" + String(repeating: "a", count: 0x8000) + "\r\n") }
            #expect(await chunked.receive()?.status == 413)
            #expect(fixture.performer.requests.isEmpty)
            #expect(try await fixture.server.statistics()?.bodyMemoryBytes == 0)
        }
    }

    @Test
    func aBodyOfTheGreatestSizeArrivesWhole() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            let count = HTTPLimits().bodyBytes
            client.send("PUT /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: \(count)\r\n\r\n")
            client.send([UInt8](repeating: 0x62, count: count))
            #expect(await client.receive()?.body == "PUT a \(count)")
            try await fixture.eventually { fixture.performer.requests.count == 1 }
            #expect(try await fixture.server.statistics()?.bodyMemoryBytes == 0)
        }
    }

    @Test
    func requestsInFlightFinishWhenTheServerStops() async throws {
        let performer = FakePerformer(holds: true)
        let fixture = try await ServerFixture(performer: performer)
        let busy = try fixture.connect()
        let idle = try fixture.connect()
        busy.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
        try await fixture.eventually { performer.heldCount == 1 }
        async let stopped: Void = fixture.server.stop()
        #expect(await idle.isAtEnd())
        performer.takeHeld()?.answer("finished")
        let response = try #require(await busy.receive())
        #expect(response.body == "finished")
        #expect(response.head.contains("Connection: close"))
        #expect(await busy.isAtEnd())
        await stopped
        #expect(access(fixture.path, F_OK) != 0)
        await fixture.end()
    }

    @Test
    func theDrainEndsEvenIfTheVaultDoesNot() async throws {
        let performer = FakePerformer(holds: true)
        var configuration = APIServerConfiguration()
        configuration.drainTimeout = .milliseconds(50)
        let fixture = try await ServerFixture(configuration, performer: performer)
        let busy = try fixture.connect()
        busy.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
        try await fixture.eventually { performer.heldCount == 1 }
        await fixture.server.stop()
        #expect(await busy.receive() == nil)
        performer.takeHeld()?.answer("nobody")
        try await fixture.eventually { performer.undelivered == 1 }
        await fixture.end()
    }

    @Test
    func theOldestOfTheHeaviestCallerMakesRoom() async throws {
        var configuration = APIServerConfiguration()
        configuration.maximumConnections = 3
        try await ServerFixture.with(configuration) { fixture in
            let clients = try (0..<3).map { _ in try fixture.connect() }
            for client in clients {
                client.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
                _ = await client.receive()
            }
            clients[0].send("GET /v1/again HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = await clients[0].receive()
            let newcomer = try fixture.connect()
            newcomer.send("GET /v1/new HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await newcomer.receive()?.body == "GET new 0")
            #expect(await clients[1].isAtEnd())
            clients[0].send("GET /v1/still HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await clients[0].receive()?.body == "GET still 0")
        }
    }

    @Test
    func busyConnectionsAreNeverEvicted() async throws {
        let performer = FakePerformer(holds: true)
        var configuration = APIServerConfiguration()
        configuration.maximumConnections = 2
        try await ServerFixture.with(configuration, performer: performer) { fixture in
            let busy = try (0..<2).map { _ in try fixture.connect() }
            for client in busy { client.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n") }
            try await fixture.eventually { performer.heldCount == 2 }
            #expect(try await fixture.connect().isAtEnd())
            performer.takeHeld()?.answer("a")
            performer.takeHeld()?.answer("b")
            for client in busy { #expect(await client.receive()?.status == 200) }
        }
    }

    /// Both ends live in this process: as many idle connections as its descriptors allow, 10,000 where they do.
    @Test
    func thousandsOfIdleConnectionsDoNotKeepOthersOut() async throws {
        let descriptors = ResourceLimits.raiseOpenFiles()
        var configuration = APIServerConfiguration()
        configuration.maximumConnections = 2048
        let count = min(10_000, descriptors - 2 * configuration.maximumConnections - 512)
        try #require(count > 3000, "raise the limit of open files: \(descriptors)")
        try await ServerFixture.with(configuration) { fixture in
            var idle: [RawClient] = []
            let served = try fixture.connect()
            for index in 0..<count {
                idle.append(try fixture.connect())
                if index % 500 == 0 {
                    served.send("GET /v1/\(index) HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(await served.receive()?.body == "GET \(index) 0")
                }
            }
            let newcomer = try fixture.connect()
            newcomer.send("GET /v1/new HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await newcomer.receive()?.body == "GET new 0")
            let statistics = try #require(try await fixture.server.statistics())
            #expect(statistics.connections == configuration.maximumConnections)
            #expect(statistics.evictions == count + 2 - configuration.maximumConnections)
        }
    }
}
