import CoffreCrypto
import CoffreHost
import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

/// A coffre-broker of its own, in a folder of its own.
final class RunningBroker {
    /// It did not start.
    struct Failure: Error {
        let output: String
    }

    let folder: TestFolder
    let socket: String
    private let configuration: String
    private(set) var process: RunningProcess

    /// The program beside the test bundle.
    static var executable: String {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent("coffre-broker").path
    }

    /// - Parameter more: further lines of the configuration.
    init(
        allow: String = "\"127.0.0.0/8\"",
        user: String = "\(geteuid())",
        environment: [String: String] = [:],
        more: [String] = []
    ) throws {
        folder = try TestFolder("br")
        socket = folder.file("b.sock")
        configuration = try folder.write(
            "broker.toml",
            """
            socket = "\(socket)"
            state_directory = "\(folder.file("state"))"
            coffred_user = "\(user)"
            allow = [\(allow)]
            \(more.joined(separator: "\n"))
            """
        )
        process = try RunningProcess(Self.executable, ["--config", configuration], environment: environment)
        try waitUntilReady()
    }

    /// Kills it where it stands and starts it again on the same state.
    func killAndRestart() throws {
        process.signal(SIGKILL)
        try process.wait()
        process = try RunningProcess(Self.executable, ["--config", configuration])
        try waitUntilReady()
    }

    private func waitUntilReady() throws {
        guard process.says("listening", within: 20) else { throw Failure(output: process.output) }
    }

    func connect() throws -> Line {
        Line(
            try UnixFrameConnection.connect(
                path: socket,
                expectedUID: geteuid(),
                deadline: ContinuousClock.now + .seconds(10)
            )
        )
    }

    /// Files that wait in the state folder.
    var parked: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder.file("state/parked"))) ?? []
    }
}

/// What coffred would say and hear.
struct Line {
    enum Heard: Equatable {
        case answer(BrokerJobID, BrokerAnswer)
        case sealed(BrokerJobID, [UInt8])
        case gone(BrokerJobID)
        case closed
    }

    private let connection: UnixFrameConnection

    init(_ connection: UnixFrameConnection) { self.connection = connection }

    func say(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try connection.send($0, deadline: ContinuousClock.now + .seconds(10)) }
    }

    func say(_ kind: BrokerFrame.Kind, _ id: BrokerJobID) throws { try say(BrokerFrame.encode(kind, jobID: id)) }

    func say(_ job: BrokerJob, _ id: BrokerJobID, password: String, loginPassword: String? = nil) throws {
        let admin = Array(password.utf8)
        let login = loginPassword.map { Array($0.utf8) }
        let size = job.encodedSize(adminPasswordBytes: admin.count, loginPasswordBytes: login?.count)
        var body = [UInt8](repeating: 0, count: size)
        try admin.withUnsafeBytes { admin in
            try (login ?? []).withUnsafeBytes { other in
                try body.withUnsafeMutableBytes {
                    _ = try job.encode(adminPassword: admin, loginPassword: login == nil ? nil : other, into: $0)
                }
            }
        }
        try say(BrokerFrame.encode(.job, jobID: id, body: body))
    }

    func hear(seconds: Int = 20) throws -> Heard {
        let heard = try connection.receive(deadline: ContinuousClock.now + .seconds(seconds)) { frame in
            Result { () throws -> Heard in
                let header = try #require(try BrokerFrame.Header.parse(frame))
                if header.kind == .gone { return .gone(header.jobID) }
                #expect(header.kind == .answer)
                let body = UnsafeRawBufferPointer(rebasing: frame[BrokerFrame.headerBytes...])
                switch try BrokerAnswer.Parcel(decoding: body) {
                case .plain(let answer): return .answer(header.jobID, answer)
                case .sealed(let box): return .sealed(header.jobID, box)
                }
            }
        }
        return try heard?.get() ?? .closed
    }
}

/// Bytes that look like a job's number.
func randomJobID() -> BrokerJobID { BrokerJobID(high: .random(in: 0 ... .max), low: .random(in: 0 ... .max)) }
