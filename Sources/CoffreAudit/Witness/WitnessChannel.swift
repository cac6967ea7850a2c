internal import CoffreCrypto
internal import Synchronization

/// The exchange with one witness. Blocks; used by one thread at a time.
final class WitnessChannel: Sendable {
    private struct State {
        var machine: WitnessMachine
        var contact: OutsideContact
        /// What the log held at the last success, and how much of it was our own doing.
        var done: (size: UInt64, own: UInt64)?
        var wasMisbehaving = false
    }

    let name: String
    private let index: Int
    private let context: OutsideContext
    private let cosigned: CosignedNote
    private let state: Mutex<State>

    /// - Throws: ``AuditError`` `.damaged` when what was remembered of this witness cannot be read.
    init(_ index: Int, _ context: OutsideContext, _ cosigned: CosignedNote) throws(AuditError) {
        let key = context.configuration.witnesses[index]
        var remembered = WitnessState(key: key)
        do throws(FileFailure) {
            if let text = try context.files.contents(of: remembered.path, limit: WitnessState.maximumBytes) {
                guard let state = WitnessState(text), state.key == key else {
                    throw FileFailure(call: "form", path: remembered.path, errno: 0)
                }
                remembered = state
            }
        } catch {
            guard error.call == "form" else { throw error.asAuditError }
            throw .damaged(
                segment: error.path,
                record: nil,
                reason: "it is not what is remembered of the witness \(key.name)"
            )
        }
        name = key.name
        self.index = index
        self.context = context
        self.cosigned = cosigned
        let contact = OutsideContact(
            context,
            period: context.configuration.intervalSeconds,
            lastContact: remembered.time > 0 ? remembered.time : nil,
            lastSize: remembered.size
        )
        state = Mutex(State(machine: WitnessMachine(key: key, state: remembered), contact: contact))
    }

    var status: OutsideStatus {
        let (machine, contact) = state.withLock { ($0.machine, $0.contact) }
        return contact.status(.witness, name: name, context, isContradicting: machine.state.refusal != nil)
    }

    /// Asks the witness about the log as it lies there, before anything is appended to it.
    /// - Parameter head: nil when nothing was ever signed.
    /// - Throws: ``AuditError`` `.contradicted` when it knows another or a longer log, or has said so before and cannot
    ///   be asked again.
    func gate(_ head: SignedHead?) throws(AuditError) {
        if let head {
            exchange(head, nil)
        } else if case let size = state.withLock({ $0.machine.state.size }), size > 0 {
            // It has cosigned what is not there any more.
            throw .contradicted(
                witness: name,
                reason: WitnessState.Refusal(theirs: size, ours: 0, kind: .longer).reason
            )
        }
        // What it said before stands until it cosigns again.
        guard let refusal = state.withLock({ $0.machine.state.refusal }) else { return }
        throw .contradicted(witness: name, reason: refusal.reason)
    }

    /// What is due now.
    func turn(_ log: OutsideContext.Log) {
        let now = context.boot
        if state.withLock({ $0.contact.isAlarmDue(at: now) }) {
            context.report(
                isAlarm: true,
                "a witness has not cosigned within the window",
                ["witness": name, "reason": state.withLock { $0.contact.error } ?? "the log did not grow"]
            )
        }
        guard state.withLock({ $0.contact.schedule.isDue(at: now) }), let newest = log.head(), hasGrown(newest) else {
            return
        }
        exchange(context.head(newest, beyond: state.withLock { $0.done?.size ?? 0 }), log)
    }

    /// Whether there is more than the records about cosignatures themselves.
    private func hasGrown(_ head: SignedHead) -> Bool {
        guard let done = state.withLock({ $0.done }) else { return true }
        return head.size > done.size && head.size - done.size > context.ownRecords - done.own
    }

    private func exchange(_ head: SignedHead, _ log: OutsideContext.Log?) {
        guard let checkpoint = Checkpoint(text: head.text, origin: head.origin) else { return }
        var machine = state.withLock { $0.machine }
        let own = context.ownRecords
        var action = machine.submit(
            WitnessMachine.Head(size: checkpoint.size, root: checkpoint.root, text: head.text)
        )
        while case .send(let old) = action {
            do throws(AuditError) {
                let body = try self.body(from: old, to: checkpoint, head.note)
                let answer = context.configuration.send(.addCheckpoint(witness: index, body: body))
                action = machine.received(Self.answer(answer), at: context.wall)
            } catch {
                machine.abandon("the proof cannot be made: \(error.message)")
                action = .rest
            }
        }
        switch action {
        case .keep(let cosignature):
            context.keep(machine.state.text, at: machine.state.path)
            cosigned.add(cosignature, of: machine.key, under: head, context)
            state.withLock { state in
                state.machine = machine
                state.contact.succeeded(context, size: head.size)
                state.done = (head.size, own)
                state.wasMisbehaving = false
            }
            if let log {
                context.record(.witness, name: name, size: head.size, time: "\(cosignature.time)", in: log)
            }
        case .stop(let refusal):
            context.keep(machine.state.text, at: machine.state.path)
            fail(machine)
            context.report(isAlarm: true, "the log contradicts a witness", facts(refusal))
            log?.refuse(.contradicted(witness: name, reason: refusal.reason))
        case .rest, .send: fail(machine)
        }
    }

    private func facts(_ refusal: WitnessState.Refusal) -> [String: String] {
        ["witness": name, "theirs": "\(refusal.theirs)", "ours": "\(refusal.ours)", "reason": refusal.reason]
    }

    private func fail(_ machine: WitnessMachine) {
        let reason = machine.error ?? "no answer"
        let (isNew, isAlarm) = state.withLock { state in
            state.machine = machine
            let isNew = state.contact.failed(context, reason)
            defer { state.wasMisbehaving = machine.isMisbehaving }
            return (isNew, machine.isMisbehaving)
        }
        guard isNew, machine.state.refusal == nil else { return }
        let message = isAlarm ? "a witness answers what it should not" : "a witness did not cosign"
        context.report(isAlarm: isAlarm, message, ["witness": name, "reason": reason])
    }

    /// `old N`, the proof, an empty line and the note.
    private func body(from old: UInt64, to head: Checkpoint, _ note: [UInt8]) throws(AuditError) -> [UInt8] {
        let proof = try ConsistencyProver(files: context.files).proof(from: old, to: head)
        return Array("old \(old)\n".utf8) + TlogProof.lines(proof) + [0x0a] + note
    }

    private static func answer(_ answer: OutsideConfiguration.Answer) -> WitnessMachine.Answer {
        switch answer {
        case .replied(let status, let type, let body): .replied(status: status, contentType: type, body: body)
        case .delivered: .unreachable("no answer")
        case .failed(let reason), .refused(let reason): .unreachable(reason)
        }
    }
}

/// `witness/checkpoint`: the newest note that was cosigned, with its cosignatures.
final class CosignedNote: Sendable {
    static let path = "\(WitnessState.folder)/checkpoint"
    /// Largest file that is read, in bytes.
    static let maximumBytes = 32_768

    private struct State {
        var size: UInt64 = 0
        var lines: [String: [UInt8]] = [:]
    }

    private let state = Mutex(State())

    func add(_ cosignature: Cosignature, of key: CosignerKey, under head: SignedHead, _ context: OutsideContext) {
        state.withLock { state in
            guard head.size >= state.size else { return }
            if head.size > state.size { state = State(size: head.size) }
            state.lines[key.text] = cosignature.line
            let lines = state.lines.sorted { $0.key < $1.key }.flatMap(\.value)
            context.keep(head.note + lines, at: Self.path)
        }
    }
}

extension SignedHead {
    /// The text that is signed.
    var text: [UInt8] { Array("\(origin)\n\(size)\n\(rootHash)\n".utf8) }
}
