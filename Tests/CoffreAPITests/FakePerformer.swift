import CoffreAPI
import CoffreCrypto
@_spi(Unrecorded) import CoffreVault
import Synchronization

/// Answers every request with what it was asked, without any record; remembers what it saw.
final class FakePerformer: RequestPerformer {
    struct Held: Sendable {
        let request: VaultRequest
        let completion: @Sendable (ReleasedAnswer) -> Void

        func answer(_ text: String) { completion(.unrecorded(status: 200, body: ResponseBody(Array(text.utf8)))) }
    }

    private struct State {
        var requests: [VaultRequest] = []
        var principals: [Principal] = []
        var refused: [RefusedRequest] = []
        var undelivered = 0
        var held: [Held] = []
    }

    private let state = Mutex(State())
    private let holds: Bool
    private let respond: @Sendable (VaultRequest) -> ReleasedAnswer

    /// - Parameter holds: keep requests for ``takeHeld()`` instead of answering.
    init(holds: Bool = false, respond: @escaping @Sendable (VaultRequest) -> ReleasedAnswer = FakePerformer.echo) {
        self.holds = holds
        self.respond = respond
    }

    var requests: [VaultRequest] { state.withLock { $0.requests } }
    var principals: [Principal] { state.withLock { $0.principals } }
    var refused: [RefusedRequest] { state.withLock { $0.refused } }
    var undelivered: Int { state.withLock { $0.undelivered } }
    var heldCount: Int { state.withLock { $0.held.count } }

    func takeHeld() -> Held? { state.withLock { $0.held.isEmpty ? nil : $0.held.removeFirst() } }

    func perform(
        _ request: VaultRequest,
        as principal: Principal,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        state.withLock {
            $0.requests.append(request)
            $0.principals.append(principal)
            if holds { $0.held.append(Held(request: request, completion: completion)) }
        }
        if !holds { completion(respond(request)) }
    }

    func refuse(
        _ request: RefusedRequest,
        as principal: Principal,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        state.withLock { $0.refused.append(request) }
        let errors = request.message.isEmpty ? "" : "\"\(request.message)\""
        completion(.unrecorded(status: request.status, body: ResponseBody(Array("{\"errors\":[\(errors)]}".utf8))))
    }

    func deliveryFailed(_ proof: ReleasedAnswer.Proof, as principal: Principal) {
        state.withLock { $0.undelivered += 1 }
    }

    @Sendable
    static func echo(_ request: VaultRequest) -> ReleasedAnswer {
        let text =
            "\(request.verb.rawValue) \(String(decoding: request.path, as: UTF8.self)) \(request.body?.count ?? 0)"
        return .unrecorded(status: 200, body: ResponseBody(Array(text.utf8)))
    }
}
