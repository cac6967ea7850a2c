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
                let response = try #require(client.receive())
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
            let head = try #require(client.receive()).head
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
            let bodies = (0..<4).map { _ in client.receive()?.body }
            #expect(bodies == ["LIST a/ 0", "GET b 0", "PUT c 2", "GET d 0"])
        }
    }

    @Test
    func theCallerIsWhoTheKernelSays() async throws {
        try await ServerFixture.with { fixture in
            let client = try fixture.connect()
            client.send("GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = client.receive()
            let principal = try #require(fixture.performer.principals.first)
            #expect(principal.uid == getuid())
            #expect(principal.pid == getpid())
        }
    }
}
