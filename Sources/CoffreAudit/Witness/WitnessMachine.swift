internal import CoffreCrypto

/// What is sent to one C2SP witness, and what its answers mean. No input, output or clock.
///
/// C2SP tlog-witness: `add-checkpoint` names the size that the witness has cosigned last; it says which that is (409)
/// when it is another.
struct WitnessMachine: Sendable {
    /// A tree head that can be submitted.
    struct Head: Sendable, Equatable {
        let size: UInt64
        let root: Digest
        /// The text of the note, the three lines that are signed.
        let text: [UInt8]
    }

    /// An HTTP answer, or why there is none.
    enum Answer: Sendable, Equatable {
        case replied(status: Int, contentType: String, body: [UInt8])
        case unreachable(String)
    }

    enum Action: Sendable, Equatable {
        /// Submit the head with the consistency proof from `old` records.
        case send(old: UInt64)
        /// Keep this cosignature of the head.
        case keep(Cosignature)
        /// Nothing more now: the reason stands in the status.
        case rest
        /// The witness knows another or a longer log: nothing may be appended.
        case stop(WitnessState.Refusal)
    }

    /// Where the size that is sent came from.
    private enum Source: Equatable {
        /// Our own memory of the last cosignature.
        case remembered
        /// The witness named it in this exchange, so many times.
        case named(Int)
        /// Asked without a proof, to learn which size it knows.
        case probe
    }

    /// A cosignature may be so many seconds ahead of our clock.
    private static let tolerance: UInt64 = 600

    let key: CosignerKey
    private(set) var state: WitnessState
    /// Why the last exchange brought nothing; nil when it brought a cosignature.
    private(set) var error: String?
    /// Whether that is more than silence: an answer that an honest witness does not give.
    private(set) var isMisbehaving = false
    private var asked: (head: Head, old: UInt64, source: Source)?

    init(key: CosignerKey, state: WitnessState) {
        self.key = key
        self.state = state
    }

    /// Begins an exchange.
    mutating func submit(_ head: Head) -> Action {
        // A state that is ahead of the log is what a roll-back leaves: the witness is asked, not our memory.
        let old = min(state.size, head.size)
        return ask(head, old: old, .remembered)
    }

    /// - Parameter now: seconds since 1970.
    mutating func received(_ answer: Answer, at now: Int64) -> Action {
        guard let (head, old, source) = asked else { return .rest }
        asked = nil
        switch answer {
        case .unreachable(let reason): return fail(reason)
        case .replied(200, _, let body): return accept(body, head, at: now)
        case .replied(409, let type, let body):
            guard let size = Self.size(type, body) else { return fail("its answer 409 names no size", isLie: true) }
            return learn(size, head, old, source)
        case .replied(422, _, _):
            switch source {
            case .remembered where old > 0: return ask(head, old: 0, .probe)
            case .named: return .stop(refuse(.init(theirs: old, ours: head.size, kind: .other)))
            case .remembered, .probe: return fail("it refuses a proof from nothing", isLie: true)
            }
        case .replied(403, _, _): return fail("it does not accept this log's signature: its operator must add log.vkey")
        case .replied(404, _, _): return fail("it does not know this log: its operator must add log.vkey")
        case .replied(let status, _, _): return fail("it answered status \(status)")
        }
    }

    private mutating func ask(_ head: Head, old: UInt64, _ source: Source) -> Action {
        asked = (head, old, source)
        return .send(old: old)
    }

    private mutating func accept(_ body: [UInt8], _ head: Head, at now: Int64) -> Action {
        do throws(Cosignature.Defect) {
            let cosignature = try Cosignature.find(in: body, by: key, over: head.text)
            guard cosignature.time <= UInt64(max(now, 0)) + Self.tolerance else {
                throw Cosignature.Defect("its cosignature is of a time to come: compare the clocks")
            }
            state = WitnessState(key: key, size: head.size, root: head.root, time: now, refusal: nil)
            error = nil
            isMisbehaving = false
            return .keep(cosignature)
        } catch {
            return fail(error.reason, isLie: true)
        }
    }

    /// It has cosigned `size` records last.
    private mutating func learn(_ size: UInt64, _ head: Head, _ old: UInt64, _ source: Source) -> Action {
        if size > head.size { return .stop(refuse(.init(theirs: size, ours: head.size, kind: .longer))) }
        // The same size twice, and of the same length as ours: the roots differ.
        if size == head.size, size == old { return .stop(refuse(.init(theirs: size, ours: size, kind: .other))) }
        if size < state.size, state.size <= head.size {
            return fail("it knows \(size) records and has cosigned \(state.size): it has forgotten", isLie: true)
        }
        guard size != old else { return fail("it refuses the size that it names", isLie: true) }
        switch source {
        case .remembered, .probe: return ask(head, old: size, .named(1))
        case .named(let times) where times < 3: return ask(head, old: size, .named(times + 1))
        case .named: return fail("it names another size each time", isLie: true)
        }
    }

    private mutating func refuse(_ refusal: WitnessState.Refusal) -> WitnessState.Refusal {
        state.refusal = refusal
        error = refusal.reason
        return refusal
    }

    /// The exchange could not even begin.
    mutating func abandon(_ reason: String) {
        asked = nil
        _ = fail(reason)
    }

    private mutating func fail(_ reason: String, isLie: Bool = false) -> Action {
        error = reason
        isMisbehaving = isLie
        return .rest
    }

    /// The body of a 409: a decimal and a line feed, as `text/x.tlog.size`.
    private static func size(_ type: String, _ body: [UInt8]) -> UInt64? {
        guard type == "text/x.tlog.size", body.last == 0x0a, body.count <= 21,
            let size = UInt64(String(decoding: body.dropLast(), as: UTF8.self)), "\(size)\n".utf8.elementsEqual(body)
        else { return nil }
        return size
    }
}
