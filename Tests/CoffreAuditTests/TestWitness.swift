import CoffreCrypto
import Synchronization

@testable import CoffreAudit

/// A C2SP witness in memory, honest unless told otherwise.
final class TestWitness: Sendable {
    enum Behaviour: Sendable, Equatable {
        case honest
        case unreachable
        /// Its answer, whatever is sent.
        case answers(status: Int, type: String, body: String)
        /// Signs with a key that nobody knows.
        case wrongKey
        /// So many seconds from now.
        case future(Int64)
        /// So many more lines of strangers before its own.
        case strangers(Int)
    }

    struct State: Sendable {
        var behaviour = Behaviour.honest
        var size: UInt64 = 0
        var root = Digest.zero
        var submissions = 0
        var contradictions = 0
    }

    let key: CosignerKey
    let state = Mutex(State())
    private let signing: SigningKey
    private let clock: TestClock

    init(_ name: String = "witness.example/w1", clock: TestClock) throws {
        signing = SigningKey()
        self.clock = clock
        key = try Self.cosigner(name, signing)
    }

    static func cosigner(_ name: String, _ key: SigningKey) throws -> CosignerKey {
        let id = SHA256.hash(Array(name.utf8) + [0x0a, 0x04] + key.publicKey).bytes.prefix(4)
        let text = "\(name)+\(Hex.encode(Array(id)))+\(Base64.encode([0x04] + key.publicKey))"
        guard let cosigner = CosignerKey(text) else { throw MemoryFailure() }
        return cosigner
    }

    struct MemoryFailure: Error {}

    func behave(_ behaviour: Behaviour) { state.withLock { $0.behaviour = behaviour } }
    func knows(_ size: UInt64, _ root: Digest) { state.withLock { ($0.size, $0.root) = (size, root) } }

    /// The signature line over a note's text.
    func line(over text: [UInt8], at time: UInt64, as other: SigningKey? = nil) -> String {
        let signature = (other ?? signing).sign(Array("cosignature/v1\ntime \(time)\n".utf8) + text)
        let seconds = withUnsafeBytes(of: time.bigEndian) { Array($0) }
        return "— \(key.name) \(Base64.encode(key.keyID + seconds + signature))\n"
    }

    func receive(_ body: [UInt8]) -> OutsideConfiguration.Answer {
        state.withLock { state in
            state.submissions += 1
            switch state.behaviour {
            case .unreachable: return .failed("nobody there")
            case .answers(let status, let type, let body):
                return .replied(status: status, contentType: type, body: Array(body.utf8))
            default: return add(body, &state)
            }
        }
    }

    private func add(_ body: [UInt8], _ state: inout State) -> OutsideConfiguration.Answer {
        func answer(_ status: Int, _ text: String = "", _ type: String = "text/plain") -> OutsideConfiguration.Answer {
            .replied(status: status, contentType: type, body: Array(text.utf8))
        }
        let lines = String(decoding: body, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        guard let empty = lines.firstIndex(of: ""), lines[0].hasPrefix("old "), let old = UInt64(lines[0].dropFirst(4)),
            lines.count > empty + 4, let size = UInt64(lines[empty + 2]),
            let root = Base64.decode(lines[empty + 3]).flatMap({ Digest($0) })
        else { return answer(400) }
        let proof = lines[1..<empty].compactMap { Base64.decode($0).flatMap { Digest($0) } }
        guard old <= size else { return answer(400) }
        guard old == state.size, old < size || root == state.root else {
            state.contradictions += 1
            return answer(409, "\(state.size)\n", "text/x.tlog.size")
        }
        let isConsistent =
            old == 0
            ? proof.isEmpty
            : TreeProof.isConsistent(old: old, state.root, new: size, root, proof: proof)
        guard isConsistent else { return answer(422) }
        (state.size, state.root) = (size, root)
        let text = Array(lines[(empty + 1)...(empty + 3)].joined(separator: "\n").utf8) + [0x0a]
        var time = UInt64(clock.realMicroseconds() / 1_000_000)
        if case .future(let seconds) = state.behaviour { time += UInt64(seconds) }
        var lineText = line(over: text, at: time, as: state.behaviour == .wrongKey ? SigningKey() : nil)
        if case .strangers(let count) = state.behaviour {
            let stranger = "— stranger.example/w AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
            lineText = String(repeating: stranger, count: count) + lineText
        }
        return answer(200, lineText)
    }
}

extension Base64 {
    static func decode(_ text: Substring) -> [UInt8]? { StrictBase64.decode(Array(text.utf8)) }
}

/// What a log said for the journal.
final class Reports: Sendable {
    private let all = Mutex<[OutsideConfiguration.Report]>([])

    var alarms: [String] { all.withLock { $0.filter(\.isAlarm).map { $0.facts["reason"] ?? $0.message } } }
    var messages: [String] { all.withLock { $0.map(\.message) } }

    func add(_ report: OutsideConfiguration.Report) { all.withLock { $0.append(report) } }
}
