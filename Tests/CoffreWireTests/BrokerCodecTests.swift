import CoffreWire
import Testing

@Suite struct BrokerCodecTests {
    private static let id = BrokerJobID(high: 0x0102_0304_0506_0708, low: 0x090a_0b0c_0d0e_0f10)

    private static let jobs: [(job: BrokerJob, password: String, login: String?)] = [
        (
            BrokerJob(kind: .verify, host: "db.example", database: "d", user: "admin", publicKey: key),
            "s3cret", nil
        ),
        (
            BrokerJob(
                kind: .create,
                host: "::1",
                port: 5433,
                database: "prod é",
                user: "a\"b",
                tls: .require,
                minimumTLS: .tls12,
                rootCertificate: Array("-----BEGIN".utf8),
                login: "v_app",
                statements: ["CREATE ROLE v_app", "GRANT x TO v_app"],
                publicKey: key
            ),
            "", "new pass"
        ),
        (
            BrokerJob(kind: .revoke, host: "10.0.0.1", database: "d", user: "u", login: "x", publicKey: key),
            "p", nil
        ),
        (
            BrokerJob(
                kind: .renew,
                host: "h",
                database: "d",
                user: "u",
                tls: .disable,
                login: "x",
                validUntil: 1_900_000_000,
                publicKey: key
            ),
            "p", nil
        ),
    ]
    private static let key = [UInt8](0..<32)

    @Test(arguments: 0..<jobs.count)
    func aJobComesBackAsItWas(index: Int) throws {
        let (job, password, login) = Self.jobs[index]
        let bytes = try BrokerJobBytes.encode(job, password, login)
        try bytes.withUnsafeBytes { bytes in
            let view = try BrokerJobView(decoding: bytes)
            #expect(view.job == job)
            #expect(String(decoding: view.adminPassword, as: UTF8.self) == password)
            #expect(view.loginPassword.map { String(decoding: $0, as: UTF8.self) } == login)
        }
        #expect(try BrokerJobBytes.reencode(bytes) == bytes)
    }

    @Test(arguments: 0..<jobs.count)
    func whateverDecodesEncodesToTheSameBytes(index: Int) throws {
        let (job, password, login) = Self.jobs[index]
        let bytes = try BrokerJobBytes.encode(job, password, login)
        var generator = SplitMix(state: UInt64(index))
        var decoded = 0
        for _ in 0..<20_000 {
            let changed = generator.mutate(bytes)
            guard let again = try? BrokerJobBytes.reencode(changed) else { continue }
            decoded += 1
            #expect(again == changed)
        }
        #expect(decoded > 0)
    }

    @Test(arguments: 0..<jobs.count)
    func aJobCutOffOrGoneOnIsRefused(index: Int) throws {
        let (job, password, login) = Self.jobs[index]
        let bytes = try BrokerJobBytes.encode(job, password, login)
        for length in 0..<bytes.count {
            #expect(throws: BrokerWireError.self) { try BrokerJobBytes.reencode(Array(bytes[..<length])) }
        }
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.reencode(bytes + [0]) }
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.reencode(bytes + bytes) }
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.reencode(bytes + [17, 0, 0, 0, 0]) }
    }

    @Test func jobsThatContradictThemselvesAreRefused() throws {
        var job = Self.jobs[1].job
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "p", nil) }
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "a\0b", "p") }
        job.statements = []
        #expect(throws: BrokerWireError.self) { try BrokerJobBytes.encode(job, "p", "p") }
        job = Self.jobs[1].job
        job.publicKey = [1]
        #expect(throws: BrokerWireError.self) { try job.validate() }
        job = Self.jobs[1].job
        job.login = String(repeating: "a", count: 64)
        #expect(throws: BrokerWireError.self) { try job.validate() }
        job.login = nil
        #expect(throws: BrokerWireError.self) { try job.validate() }
        job = Self.jobs[1].job
        job.host = "a\0b"
        #expect(throws: BrokerWireError.self) { try job.validate() }
        job = Self.jobs[1].job
        job.connectTimeoutSeconds = 0
        #expect(throws: BrokerWireError.self) { try job.validate() }
        job = Self.jobs[3].job
        job.validUntil = nil
        #expect(throws: BrokerWireError.self) { try job.validate() }
        job = Self.jobs[2].job
        job.validUntil = 1
        #expect(throws: BrokerWireError.self) { try job.validate() }
    }

    @Test(arguments: ["a/b", "/run/postgresql", "@x", "a,b", "a b", "é", ""])
    func aHostThatLibpqWouldReadOtherwiseIsRefused(host: String) {
        var job = Self.jobs[0].job
        job.host = host
        #expect(throws: BrokerWireError.self) { try job.validate() }
    }

    @Test(arguments: BrokerFrame.Kind.allCases)
    func aFrameHeaderIsReadByteByByte(kind: BrokerFrame.Kind) throws {
        let body: [UInt8] = kind == .job || kind == .answer ? [1, 2, 3] : []
        let frame = try BrokerFrame.encode(kind, jobID: Self.id, body: body)
        for length in 0..<BrokerFrame.headerBytes {
            #expect(try frame[..<length].withUnsafeBytes { try BrokerFrame.Header.parse($0) } == nil)
        }
        let header = try #require(try frame.withUnsafeBytes { try BrokerFrame.Header.parse($0) })
        #expect(header.kind == kind)
        #expect(header.jobID == Self.id)
        #expect(header.bodyBytes == body.count)
        #expect(header.encode() + body == frame)
    }

    @Test func framesOutsideTheRulesAreRefused() throws {
        let frame = try BrokerFrame.encode(.ack, jobID: Self.id)
        func refused(_ position: Int, _ value: UInt8, _ code: BrokerWireError.Code) {
            var changed = frame
            changed[position] = value
            let error = #expect(throws: BrokerWireError.self) {
                try changed.withUnsafeBytes { try BrokerFrame.Header.parse($0) }
            }
            #expect(error?.code == code)
        }
        refused(0, 1, .tooLong)
        refused(3, 17, .wrongLength)
        refused(3, 19, .wrongLength)
        refused(4, 2, .unsupportedVersion)
        refused(5, 0, .unknownType)
        refused(5, 6, .unknownType)
        refused(5, 1, .wrongLength)
        #expect(throws: BrokerWireError.self) {
            try BrokerFrame.encode(.answer, jobID: Self.id, body: [UInt8](repeating: 0, count: 1 << 20))
        }
    }

    @Test func aJobIDHasOneText() throws {
        #expect(Self.id.description == "0102030405060708090a0b0c0d0e0f10")
        #expect(BrokerJobID("0102030405060708090a0b0c0d0e0f10") == Self.id)
        #expect(BrokerJobID(bytes: Self.id.bytes) == Self.id)
        for text in ["", "0102030405060708090A0b0c0d0e0f10", "+102030405060708090a0b0c0d0e0f10", "01"] {
            #expect(BrokerJobID(text) == nil)
        }
    }

    private static let answers: [BrokerAnswer] =
        [
            .done(serverVersion: "15.9", tlsVersion: "TLSv1.3", sessionsEnded: 0),
            .done(serverVersion: nil, tlsVersion: nil, sessionsEnded: 7),
            .failed(BrokerFailure(.statement, sqlState: "42601")),
        ] + BrokerFailure.Code.allCases.map { .failed(BrokerFailure($0)) }

    @Test(arguments: answers)
    func whateverAnswerDecodesEncodesToTheSameBytes(answer: BrokerAnswer) throws {
        let bytes = BrokerAnswer.Parcel.plain(answer).encode()
        let back = try bytes.withUnsafeBytes { try BrokerAnswer.Parcel(decoding: $0) }
        #expect(back == .plain(answer))
        var generator = SplitMix(state: 9)
        for _ in 0..<5_000 {
            let changed = generator.mutate(bytes)
            guard let parcel = try? changed.withUnsafeBytes({ try BrokerAnswer.Parcel(decoding: $0) }) else { continue }
            #expect(parcel.encode() == changed)
        }
    }

    @Test func versionsAreCutToPrintableASCII() throws {
        let answer = BrokerAnswer.done(
            serverVersion: "1\n5\u{1b}[é" + String(repeating: "x", count: 100),
            tlsVersion: nil,
            sessionsEnded: -1
        )
        let back = try answer.encode().withUnsafeBytes { try BrokerAnswer(decoding: $0) }
        let expected = "15[" + String(repeating: "x", count: 61)
        #expect(back == .done(serverVersion: expected, tlsVersion: nil, sessionsEnded: 0))
    }

    @Test func aSQLStateIsFiveCapitalsOrDigits() {
        #expect(BrokerFailure(.rights, sqlState: "42501").sqlState == "42501")
        #expect(BrokerFailure(.rights, sqlState: "password").sqlState == nil)
        #expect(BrokerFailure(.rights, sqlState: "4250a").sqlState == nil)
    }
}

/// A small generator with a fixed sequence (SplitMix64).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// One to three changes: a byte flipped, put in, taken out, or a stretch repeated.
    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &self) {
            guard !bytes.isEmpty else { return bytes }
            let place = Int.random(in: 0..<bytes.count, using: &self)
            switch Int.random(in: 0..<4, using: &self) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &self)
            case 1: bytes.insert(UInt8.random(in: 0...255, using: &self), at: place)
            case 2: bytes.remove(at: place)
            default:
                let end = Int.random(in: place...min(bytes.count - 1, place + 12), using: &self)
                bytes.insert(contentsOf: bytes[place...end], at: place)
            }
        }
        return bytes
    }
}
