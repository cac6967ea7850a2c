import CoffreCrypto
import CoffreHost
import CoffreTestSupport
import CoffreWire
import Foundation
import Testing

@Suite(.serialized) final class BrokerProcessTests {
    private let keys = SealedBox.KeyPair()

    private func job(_ kind: BrokerJob.Kind = .verify, port: UInt16, seconds: UInt32 = 10) -> BrokerJob {
        BrokerJob(
            kind: kind,
            host: "127.0.0.1",
            port: port,
            database: "postgres",
            user: "postgres",
            tls: .disable,
            login: kind == .verify ? nil : "somebody",
            publicKey: keys.publicKey,
            connectTimeoutSeconds: seconds
        )
    }

    private func open(_ box: [UInt8]) throws -> BrokerAnswer {
        try box.withUnsafeBytes { box in
            let plain = try SealedBox.open(box, privateKey: keys.privateKey)
            return try plain.withBytes { try BrokerAnswer(decoding: $0) }
        }
    }

    @Test func anAnswerWaitsUntilItIsAcknowledged() throws {
        let broker = try RunningBroker()
        let id = randomJobID()
        let refused = BrokerAnswer.failed(BrokerFailure(.refused))
        let first = try broker.connect()
        try first.say(job(port: PostgresServer.freePort()), id, password: "planted-secret")
        #expect(try first.hear() == .answer(id, refused))
        #expect(broker.parked == [id.description])
        #expect(try broker.folder.contains("planted-secret").isEmpty)

        // Neither a second time of the same job nor a death of the broker loses or repeats it.
        try first.say(job(port: PostgresServer.freePort()), id, password: "x")
        guard case .sealed(id, let box) = try first.hear() else {
            Issue.record("not the parked answer")
            return
        }
        #expect(try open(box) == refused)
        try broker.killAndRestart()
        let second = try broker.connect()
        try second.say(.collect, id)
        guard case .sealed(id, let again) = try second.hear() else {
            Issue.record("not the parked answer")
            return
        }
        #expect(try open(again) == refused)

        try second.say(.ack, id)
        try second.say(.ack, id)
        try second.say(.collect, id)
        #expect(try second.hear() == .gone(id))
        #expect(broker.parked.isEmpty)
        try second.say(job(port: PostgresServer.freePort()), id, password: "x")
        #expect(try second.hear() == .gone(id))
        #expect(!broker.process.output.contains("planted-secret"))
    }

    @Test func aJobInFlightWhenTheBrokerDiesIsUnknownAfterwards() throws {
        let broker = try RunningBroker()
        let silent = try SilentListener()
        let id = randomJobID()
        try broker.connect().say(job(port: silent.port, seconds: 600), id, password: "p")
        silent.waitForAConnection()
        try broker.killAndRestart()
        let line = try broker.connect()
        try line.say(.collect, id)
        #expect(try line.hear() == .gone(id))
    }

    @Test func whoAsksAgainWhileAJobRunsGetsItsOneAnswer() throws {
        let broker = try RunningBroker()
        let silent = try SilentListener()
        let id = randomJobID()
        let lines = try (0..<3).map { _ in try broker.connect() }
        try lines[0].say(job(port: silent.port, seconds: 2), id, password: "p")
        silent.waitForAConnection()
        try lines[1].say(job(port: silent.port, seconds: 2), id, password: "p")
        try lines[2].say(.collect, id)
        for line in lines { #expect(try line.hear() == .answer(id, .failed(BrokerFailure(.timeout)))) }
        #expect(!silent.hasAnotherConnection)
    }

    @Test func jobsRunSideBySideAndTooManyAreRefused() throws {
        let broker = try RunningBroker()
        let silent = try SilentListener()
        let line = try broker.connect()
        let ids = (0..<100).map { _ in randomJobID() }
        for id in ids { try line.say(job(port: silent.port, seconds: 600), id, password: "p") }
        for id in ids[80...] { #expect(try line.hear() == .answer(id, .failed(BrokerFailure(.unavailable)))) }
        // Another server's turn comes all the same.
        let other = randomJobID()
        try line.say(job(port: PostgresServer.freePort()), other, password: "p")
        #expect(try line.hear() == .answer(other, .failed(BrokerFailure(.refused))))
    }

    @Test func aStrangerIsCutOff() throws {
        let broker = try RunningBroker(user: geteuid() == 65534 ? "65533" : "65534")
        let line = try broker.connect()
        try? line.say(job(port: 1), randomJobID(), password: "p")
        #expect(try line.hear() == .closed)
        #expect(broker.parked.isEmpty)
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to be two users"))
    func theUserInTheConfigurationIsObeyedAndRootIsNot() throws {
        let broker = try RunningBroker(user: "nobody")
        chmod(broker.folder.path, 0o755)
        chmod(broker.socket, 0o666)
        let frame = try BrokerFrame.encode(.collect, jobID: randomJobID()).map { String($0) }.joined(separator: ",")
        let script = """
            use IO::Socket::UNIX; alarm 20; my $s = IO::Socket::UNIX->new(Peer => "\(broker.socket)") or die "$!";
            $s->syswrite(pack("C*", \(frame))); $s->sysread(my $answer, 100); print length($answer), " bytes"
            """
        let identity = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        let nobody = try RunningProcess("/usr/bin/setpriv", identity + ["/usr/bin/perl", "-e", script])
        #expect(try nobody.wait() == 0)
        #expect(nobody.says("22 bytes"))
        #expect(try broker.connect().hear() == .closed)
    }

    @Test func theListenerMustBeWhoItShould() throws {
        let broker = try RunningBroker()
        let error = #expect(throws: UnixFrameError.self) {
            try UnixFrameConnection.connect(
                path: broker.socket,
                expectedUID: geteuid() + 1,
                deadline: ContinuousClock.now + .seconds(5)
            )
        }
        #expect(error?.code == .wrongPeer)
        let missing = #expect(throws: UnixFrameError.self) {
            try UnixFrameConnection.connect(
                path: broker.folder.file("none"),
                expectedUID: geteuid(),
                deadline: ContinuousClock.now + .seconds(5)
            )
        }
        #expect(missing?.code == .absent)
        let endless = #expect(throws: UnixFrameError.self) {
            try UnixFrameConnection.connect(
                path: "/" + String(repeating: "x", count: 200),
                expectedUID: geteuid(),
                deadline: ContinuousClock.now + .seconds(5)
            )
        }
        #expect(endless?.code == .unusable)
        var status = stat()
        #expect(stat(broker.socket, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o660)
    }

    @Test func whatIsNoFrameEndsTheConnectionAndNothingElse() throws {
        let broker = try RunningBroker()
        let id = randomJobID()
        let good = try BrokerFrame.encode(.collect, jobID: id)
        var hostile: [[UInt8]] = [
            [0xff, 0xff, 0xff, 0xff], [0, 0x10, 0, 1], [0, 0, 0, 0], Array("GET / HTTP/1.1\r\n\r\n".utf8),
            try BrokerFrame.encode(.gone, jobID: id), try BrokerFrame.encode(.answer, jobID: id, body: [0, 2, 1]),
        ]
        for position in [3, 4, 5] {
            for value: UInt8 in [0, 1, 3, 9, 17, 255] where good[position] != value && !(position == 5 && value == 3) {
                var changed = good
                changed[position] = value
                // A length that is too great only makes the broker wait for more.
                if position == 3, value > good[3] { changed += [UInt8](repeating: 0, count: Int(value)) }
                hostile.append(changed)
            }
        }
        for bytes in hostile {
            let line = try broker.connect()
            try? line.say(bytes)
            #expect(try line.hear() == .closed, "\(bytes.prefix(30))")
        }
        let line = try broker.connect()
        try line.say(Array(good[..<10]))
        try line.say(Array(good[10...]))
        #expect(try line.hear() == .gone(id))
    }

    @Test func aJobThatDoesNotDecodeIsAnsweredAsMalformed() throws {
        let broker = try RunningBroker()
        let line = try broker.connect()
        var generator = SystemRandomNumberGenerator()
        for length in [1, 2, 40, 4000, BrokerFrame.maximumBodyBytes] {
            let id = randomJobID()
            let body = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
            try line.say(BrokerFrame.encode(.job, jobID: id, body: body))
            #expect(try line.hear() == .answer(id, .failed(BrokerFailure(.malformed))))
        }
        #expect(broker.parked.isEmpty)
    }

    @Test func terminationLetsARunningJobFinish() throws {
        let broker = try RunningBroker()
        let silent = try SilentListener()
        let id = randomJobID()
        let line = try broker.connect()
        try line.say(job(port: silent.port, seconds: 2), id, password: "p")
        silent.waitForAConnection()
        broker.process.signal(SIGTERM)
        #expect(try line.hear() == .answer(id, .failed(BrokerFailure(.timeout))))
        #expect(try broker.process.wait(timeout: 15) == 0)
        #expect(broker.parked == [id.description])
        #expect(!FileManager.default.fileExists(atPath: broker.socket))
    }

    @Test func aSecondBrokerDoesNotTakeTheSocket() throws {
        let broker = try RunningBroker()
        let other = try RunningProcess(RunningBroker.executable, ["--config", broker.folder.file("broker.toml")])
        #expect(try other.wait(timeout: 20) == 69)
        #expect(other.says("another process listens"))
    }

    @Test func theEnvironmentDoesNotReachLibpq() throws {
        let broker = try RunningBroker(environment: [
            "PGHOSTADDR": "127.0.0.9", "PGSERVICE": "x", "PGOPTIONS": "-c x=y",
        ])
        let silent = try SilentListener()
        let line = try broker.connect()
        try line.say(job(port: silent.port, seconds: 1), randomJobID(), password: "p")
        silent.waitForAConnection()
        guard case .answer(_, .failed(let failure)) = try line.hear() else {
            Issue.record("no answer")
            return
        }
        #expect(failure.code == .timeout)
    }

    @Test(arguments: [
        ("sockett = \"/x\"", 1, "unknown key"), ("\n\nallow = [\"10.0.0.0/8\", \"x\"]", 3, "entry 2"),
        ("allow = [\"169.254.169.254\"]", 1, "link-local"), ("socket = \"b.sock\"", 1, "absolute path"),
        ("\ncoffred_user = \"no such user\"", 2, "names no user"), ("sqlite_directory = \"x\"", 1, "absolute path"),
        ("socket = 5", 1, "text in quotes"),
    ])
    func aMistakeInTheConfigurationIsReportedWithItsLine(text: String, line: Int, words: String) throws {
        let folder = try TestFolder("br")
        let defaults = text.contains("coffred_user") ? "" : "\ncoffred_user = \"\(geteuid())\"\n"
        let path = try folder.write("broker.toml", text + defaults)
        let process = try RunningProcess(RunningBroker.executable, ["--config", path])
        #expect(try process.wait(timeout: 20) == 78)
        #expect(process.says("broker.toml:\(line): "))
        #expect(process.says(words))
    }
}
