internal import CoffreHost
internal import CoffreVault
internal import Glibc
internal import NIOCore

/// One client connection: bytes in, one request at a time to the vault, its answer out.
///
/// Lives on its event loop. Pipelined requests wait in a bounded buffer; beyond it the socket is not read.
final class Connection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        /// Waits for a request, or for the rest of one.
        case receiving
        /// The vault has a request; `id` tells its completion from a stale one.
        case performing(id: UInt64)
        /// The answer is on its way.
        case writing
        /// The last answer is out; what still arrives is thrown away so that the client can read it.
        case lingering
        case closed
    }

    private let shared: ConnectionShared
    private let peer: PeerCredentials
    private var principal: Principal
    private var parser: RequestParser
    private var state = State.receiving
    private var input: ByteBuffer?
    private var context: ChannelHandlerContext?
    private var bound: NIOLoopBound<Connection>?
    private var isAdvancing = false
    private var isReadPending = false
    private var inputHasEnded = false
    private var closesAfterAnswer = false
    private var requests: UInt64 = 0
    private var reservation: BodyReservation?
    /// What is left of an answer that is too large for memory.
    private var outgoing: StreamedBody?
    /// When it must have left.
    private var outgoingEnd = UInt64.max
    private var isHead = false
    private var isVersion10 = false
    /// Whether the framing is lost, so that the current answer is the last.
    private var isRefusing = false
    /// Whether the deadline already belongs to the head that is arriving: further bytes do not extend it.
    private var isHeadTimed = false
    /// When the body that is arriving must be complete, however steadily it drips.
    private var bodyEnd = UInt64.max
    /// When the sweep acts on this connection, `CLOCK_MONOTONIC` in nanoseconds.
    private(set) var deadline: UInt64 = .max
    var place: ConnectionTable.Place?

    init(shared: ConnectionShared, peer: PeerCredentials) {
        self.shared = shared
        self.peer = peer
        principal = Principal(
            pid: peer.pid,
            uid: peer.uid,
            gid: peer.gid,
            groups: peer.groups,
            unit: peer.unit,
            isUnitPinned: peer.isUnitPinned
        )
        parser = RequestParser(limits: shared.configuration.limits, memory: shared.bodyMemory)
        input = nil
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        // Before the channel is active: connections accepted in one go must see each other in the table.
        shared.table.insert(self, uid: peer.uid)
        deadline = MonotonicTime.now() + shared.idleNanoseconds
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        finish()
        self.context = nil
        bound = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            // The client sends nothing more; what it has sent is still answered.
            inputHasEnded = true
            switch state {
            case .receiving where !isAdvancing, .lingering: context.close(promise: nil)
            case .receiving, .performing, .writing, .closed: break
            }
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if case .lingering = state { return }
        if input == nil {
            input = bytes
        } else {
            input?.writeBuffer(&bytes)
        }
        if case .receiving = state { advance() }
    }

    func read(context: ChannelHandlerContext) {
        if mayReadMore { context.read() } else { isReadPending = true }
    }

    private var mayReadMore: Bool {
        switch state {
        case .receiving, .lingering: true
        case .performing, .writing: (input?.readableBytes ?? 0) < shared.configuration.pipelineBytes
        case .closed: false
        }
    }

    private func resumeReading() {
        guard isReadPending, mayReadMore else { return }
        isReadPending = false
        context?.read()
    }

    /// Parses and performs what has arrived, until something must be waited for.
    private func advance() {
        guard !isAdvancing else { return }
        isAdvancing = true
        parseAndPerform()
        isAdvancing = false
        // A client that has said its last word and has every answer.
        if inputHasEnded, case .receiving = state { context?.close(promise: nil) }
    }

    private func parseAndPerform() {
        while case .receiving = state, var bytes = input, bytes.readableBytes > 0 {
            input = nil  // The parser is the only owner: nothing is copied.
            let now = MonotonicTime.now()
            let step = parser.next(&bytes, now: now, reserved: &reservation)
            if bytes.readableBytes > 0 { input = bytes }
            switch step {
            case .needsMore:
                receiveDeadline(now)
                return
            case .continueExpected:
                receiveDeadline(now)
                var line = ByteBufferAllocator.wiping.buffer(capacity: 32)
                line.writeStaticString(ResponseWriter.continueLine)
                context?.writeAndFlush(wrapOutboundOut(line), promise: nil)
            case .complete(let parsed):
                isHead = parsed.isHead
                isVersion10 = parsed.isVersion10
                closesAfterAnswer = closesAfterAnswer || !parsed.keepsAlive
                begin { vault, principal, completion in
                    switch parsed.content {
                    case .request(let request): vault.perform(request, as: principal, completion: completion)
                    case .refused(let refused): vault.refuse(refused, as: principal, completion: completion)
                    }
                }
            case .broken(let refused): refuseAndClose(refused)
            }
        }
    }

    private func receiveDeadline(_ now: UInt64) {
        if parser.isReadingBody {
            if bodyEnd == .max { bodyEnd = now + shared.bodyNanoseconds }
            deadline = min(now + shared.progressNanoseconds, bodyEnd)
        } else if parser.isInsideRequest(input), !isHeadTimed {
            isHeadTimed = true
            deadline = now + shared.headNanoseconds
        }
    }

    private func refuseAndClose(_ refused: RefusedRequest) {
        input = nil
        isHead = false
        closesAfterAnswer = true
        isRefusing = true
        begin { vault, principal, completion in vault.refuse(refused, as: principal, completion: completion) }
    }

    // MARK: Performing

    private func begin(
        _ call: (any RequestPerformer, Principal, @escaping @Sendable (ReleasedAnswer) -> Void) -> Void
    ) {
        guard let bound, let context else { return }
        requests &+= 1
        let id = requests
        state = .performing(id: id)
        isHeadTimed = false
        bodyEnd = .max
        deadline = .max
        shared.table.stopWaiting(self)
        shared.inFlight += 1
        if principal.unit != nil, !peer.isAlive {
            principal = Principal(
                pid: principal.pid,
                uid: principal.uid,
                gid: principal.gid,
                groups: principal.groups,
                unit: nil,
                isUnitPinned: false
            )
        }
        let loop = context.eventLoop
        let performer = shared.performer
        let principal = principal
        call(performer, principal) { answer in
            if loop.inEventLoop {
                bound.value.answered(answer, id: id)
            } else {
                loop.execute { bound.value.answered(answer, id: id) }
            }
        }
    }

    private func answered(_ answer: ReleasedAnswer, id: UInt64) {
        guard case .performing(id) = state, let context else {
            // The client went away while the vault worked, and the record says that it was served.
            if id == requests, case .closed = state { shared.performer.deliveryFailed(answer.proof, as: principal) }
            return
        }
        state = .writing
        reservation?.release()
        reservation = nil
        shared.inFlight -= 1
        if shared.isDraining { closesAfterAnswer = true }
        deadline = MonotonicTime.now() + shared.progressNanoseconds
        let buffer = ResponseWriter.write(
            answer,
            isHead: isHead,
            closes: closesAfterAnswer,
            isVersion10: isVersion10
        )
        outgoing = ResponseWriter.rest(of: answer, isHead: isHead)
        outgoingEnd = MonotonicTime.now() + shared.streamNanoseconds
        send(buffer, proof: answer.proof, context)
    }

    private func send(_ buffer: ByteBuffer, proof: ReleasedAnswer.Proof, _ context: ChannelHandlerContext) {
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success where self.outgoing != nil: self.sendNext(proof)
            case .success: self.delivered()
            case .failure: self.undelivered(proof)
            }
        }
        context.writeAndFlush(wrapOutboundOut(buffer), promise: promise)
    }

    /// The next piece goes when the one before has left, and after what others wait for on this loop.
    private func sendNext(_ proof: ReleasedAnswer.Proof) {
        guard let bound else { return }
        deadline = min(MonotonicTime.now() + shared.progressNanoseconds, outgoingEnd)
        context?.eventLoop.execute {
            let connection = bound.value
            guard case .writing = connection.state, let context = connection.context else {
                connection.shared.performer.deliveryFailed(proof, as: connection.principal)
                return
            }
            guard let piece = connection.outgoing?.next() else {
                connection.undelivered(proof)
                return
            }
            if connection.outgoing?.isEmpty ?? true { connection.outgoing = nil }
            connection.send(piece, proof: proof, context)
        }
    }

    private func undelivered(_ proof: ReleasedAnswer.Proof) {
        shared.performer.deliveryFailed(proof, as: principal)
        context?.close(promise: nil)
    }

    private func delivered() {
        guard case .writing = state, let context else { return }
        if closesAfterAnswer {
            closeAfterLastAnswer(context)
            return
        }
        state = .receiving
        deadline = MonotonicTime.now() + shared.idleNanoseconds
        shared.table.startWaiting(self)
        advance()
        resumeReading()
    }

    /// A refused client may still be sending: what it sends is read and dropped for a while, because closing a socket with
    /// unread bytes resets it and the client would lose the answer.
    private func closeAfterLastAnswer(_ context: ChannelHandlerContext) {
        input = nil
        guard isRefusing, !inputHasEnded else {
            context.close(promise: nil)
            return
        }
        state = .lingering
        deadline = MonotonicTime.now() + shared.lingerNanoseconds
        shared.table.startWaiting(self)
        context.close(mode: .output, promise: nil)
        resumeReading()
    }

    // MARK: Ending

    /// Acts on a deadline that has passed.
    func timeOut(now: UInt64) {
        switch state {
        case .receiving:
            guard parser.isInsideRequest(input) else {
                context?.close(promise: nil)
                return
            }
            let refused = parser.timedOut(input ?? ByteBuffer(), now: now)
            refuseAndClose(refused)
        case .writing, .lingering: context?.close(promise: nil)
        case .performing, .closed: deadline = .max
        }
    }

    /// Closes at once when nothing is being answered, otherwise after the answer.
    func drain() {
        closesAfterAnswer = true
        switch state {
        case .receiving, .lingering: context?.close(promise: nil)
        case .performing, .writing, .closed: break
        }
    }

    /// Closes whatever is going on; an answer that was released counts as not delivered.
    func closeNow() {
        let context = context
        finish()
        context?.close(promise: nil)
    }

    private func finish() {
        if case .closed = state { return }
        if case .performing = state { shared.inFlight -= 1 }
        state = .closed
        deadline = .max
        parser.abandon()
        reservation?.release()
        reservation = nil
        outgoing = nil
        input = nil
        shared.table.remove(self)
        shared.connectionEnded()
    }
}
