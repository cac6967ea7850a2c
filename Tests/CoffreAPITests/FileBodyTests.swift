import CoffreAPI
@_spi(Unrecorded) import CoffreVault
import Foundation
import Synchronization
import Testing

/// Answers that are too large for memory.
struct FileBodyTests {
    /// An open file without a name.
    private final class OpenFile: Sendable {
        let descriptor: Int32

        init(_ bytes: [UInt8]) throws {
            var template = Array("/tmp/coffre-file-XXXXXX".utf8CString)
            descriptor = mkstemp(&template)
            unlink(template)
            try #require(descriptor >= 0)
            try FileHandle(fileDescriptor: descriptor).write(contentsOf: Data(bytes))
        }

        deinit { Foundation.close(descriptor) }
    }

    /// What the body holds on to; tells when it lets go.
    private final class BodyOwner: Sendable {
        private let file: OpenFile
        private let flag: Flag

        init(_ file: OpenFile, _ flag: Flag) {
            self.file = file
            self.flag = flag
        }

        deinit { flag.set() }
    }

    private final class Flag: Sendable {
        private let value = Mutex(false)
        var isSet: Bool { value.withLock { $0 } }
        func set() { value.withLock { $0 = true } }
    }

    /// Answers `GET file` with the file between two other pieces, and everything else as usual.
    private static func performer(_ bytes: [UInt8], claiming count: Int? = nil, _ released: Flag) throws
        -> FakePerformer
    {
        let file = try OpenFile(bytes)
        return FakePerformer { request in
            guard request.path == Array("file".utf8) else { return FakePerformer.echo(request) }
            var body = ResponseBody(Array("head ".utf8))
            body.append(
                BodyFile(descriptor: file.descriptor, count: count ?? bytes.count, owner: BodyOwner(file, released))
            )
            body.append(Array(" tail".utf8))
            return .unrecorded(status: 200, headers: [("Content-Type", "application/octet-stream")], body: body)
        }
    }

    private static let request = "GET /v1/file HTTP/1.1\r\nHost: x\r\n\r\n"

    @Test(arguments: [1, 65_535, 65_536, 65_537, 3_000_000])
    func aFileBetweenOtherPiecesArrivesWhole(count: Int) async throws {
        let bytes = (0..<count).map { UInt8(0x20 + $0 % 90) }
        let released = Flag()
        try await ServerFixture.with(performer: try Self.performer(bytes, released)) { fixture in
            let client = try fixture.connect()
            client.send(Self.request + "GET /v1/next HTTP/1.1\r\nHost: x\r\n\r\n")
            let answer = try #require(await client.receive())
            #expect(answer.head.contains("Content-Length: \(count + 10)"))
            #expect(answer.head.contains("application/octet-stream"))
            #expect(answer.body == "head " + String(decoding: bytes, as: UTF8.self) + " tail")
            #expect(await client.receive()?.body == "GET next 0")
            try await fixture.eventually { released.isSet }
            #expect(fixture.performer.undelivered == 0)
        }
    }

    @Test func headTellsTheLengthAndSendsNothing() async throws {
        let released = Flag()
        try await ServerFixture.with(performer: try Self.performer([1, 2, 3], released)) { fixture in
            let client = try fixture.connect()
            client.send("HEAD /v1/file HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/next HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await client.receive(withoutBody: true)?.head.contains("Content-Length: 13") == true)
            #expect(await client.receive()?.body == "GET next 0")
        }
    }

    @Test func aFileThatEndsEarlyBreaksTheConnection() async throws {
        let released = Flag()
        let performer = try Self.performer([UInt8](repeating: 7, count: 100_000), claiming: 200_000, released)
        try await ServerFixture.with(performer: performer) { fixture in
            let client = try fixture.connect()
            client.send(Self.request)
            #expect(await client.receive() == nil)
            try await fixture.eventually { released.isSet && fixture.performer.undelivered == 1 }
        }
    }

    @Test func aReaderWhoLeavesIsReportedAndTheFileClosed() async throws {
        let released = Flag()
        var configuration = APIServerConfiguration()
        configuration.progressTimeout = .seconds(600)
        let performer = try Self.performer([UInt8](repeating: 7, count: 8_000_000), released)
        try await ServerFixture.with(configuration, performer: performer) { fixture in
            let client = try fixture.connect()
            client.send(Self.request)
            try await fixture.eventually { fixture.performer.requests.count == 1 }
            #expect(!released.isSet)
            client.hangUp()
            try await fixture.eventually { released.isSet && fixture.performer.undelivered == 1 }
        }
    }

    @Test func aReaderWhoDripsIsCutInTheEnd() async throws {
        let released = Flag()
        var configuration = APIServerConfiguration()
        configuration.streamTimeout = .milliseconds(300)
        let performer = try Self.performer([UInt8](repeating: 7, count: 40_000_000), released)
        try await ServerFixture.with(configuration, performer: performer) { fixture in
            let client = try fixture.connect()
            client.send(Self.request)
            // Reads all the time, and never enough.
            var block = [UInt8](repeating: 0, count: 100_000)
            try await fixture.eventually {
                _ = recv(client.descriptor, &block, block.count, Int32(MSG_DONTWAIT))
                return released.isSet && fixture.performer.undelivered == 1
            }
        }
    }

    @Test func aReaderWhoStopsIsCut() async throws {
        let released = Flag()
        var configuration = APIServerConfiguration()
        configuration.progressTimeout = .milliseconds(200)
        let performer = try Self.performer([UInt8](repeating: 7, count: 8_000_000), released)
        try await ServerFixture.with(configuration, performer: performer) { fixture in
            let client = try fixture.connect()
            client.send(Self.request)
            try await fixture.eventually { released.isSet && fixture.performer.undelivered == 1 }
            // Meanwhile and afterwards others are served.
            let other = try fixture.connect()
            other.send("GET /v1/next HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await other.receive()?.body == "GET next 0")
        }
    }
}
