internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// What is known of a request while it is decided and carried out.
struct RequestContext: Sendable {
    /// A UUID in text, the envelope's `request_id`.
    let requestID: String
    /// The record's `cid`: 16 characters of it.
    let correlation: String
    let request: VaultRequest
    let principal: Principal
    /// With `list=true` resolved.
    let verb: VaultRequest.Verb
    /// Without trailing slash.
    let path: [UInt8]
    let now: Timestamp
    /// For whom a service asks, or why that is not believed; nil when it asks for itself.
    var person: Result<ActingPerson, VaultError>?
    var hasRefusedPerson: Bool { if case .failure = person { true } else { false } }
    /// Set once the caller is known.
    var caller: Caller?
    /// Which rule decided, for the record.
    var why = AuditWhy.none
    /// Seconds that a wrapped answer may wait for its reader; 0 when none is asked for.
    var wrapTTL: Int64 = 0

    /// Whether each request with this token counts.
    var usesLimitedToken: Bool { (caller?.token?.usesLeft ?? 0) != 0 }
    /// The durable intent record of a change.
    var intent: AuditReceipt?
    /// What the deciding rule leaves of a list; nil for all of it.
    var listing: ListingLimits?
    /// The decoy that is asked for, whether it is given or not.
    var decoy: String?

    init(_ request: VaultRequest, principal: Principal, now: Timestamp) {
        (requestID, correlation) = Self.makeID()
        self.request = request
        self.principal = principal
        self.now = now
        var path = request.path
        while path.last == 0x2f { path.removeLast() }
        self.path = path
        verb = request.verb
    }

    private init(_ other: RequestContext, verb: VaultRequest.Verb) {
        requestID = other.requestID
        correlation = other.correlation
        request = other.request
        principal = other.principal
        path = other.path
        now = other.now
        person = other.person
        caller = other.caller
        why = other.why
        wrapTTL = other.wrapTTL
        intent = other.intent
        listing = other.listing
        decoy = other.decoy
        self.verb = verb
    }

    /// The same request with `list=true` and `scan=true` of a GET turned into verbs.
    /// - Throws: ``VaultError`` `.badRequest` for a value that is no boolean.
    func resolvingListQuery() throws(VaultError) -> RequestContext {
        guard verb == .get, !request.query.isEmpty else { return self }
        let list = try flag("list")
        let scan = try flag("scan")
        if list && scan { throw .badRequest("list and scan are mutually exclusive") }
        if list { return RequestContext(self, verb: .list) }
        return scan ? RequestContext(self, verb: .scan) : self
    }

    private func flag(_ name: String) throws(VaultError) -> Bool {
        guard let item = request.query.first(where: { $0.name == name }) else { return false }
        guard let value = GoBool.parse(item.value) else {
            throw .badRequest("the query parameter \(name) must be true or false")
        }
        return value
    }

    func query(_ name: String) -> String? { request.query.first { $0.name == name }?.value }

    /// A whole number in the query, nil when it is not there.
    /// - Throws: ``VaultError`` `.badRequest`, naming it.
    func number(_ name: String, in range: ClosedRange<Int64>) throws(VaultError) -> Int64? {
        guard let text = query(name) else { return nil }
        guard let number = Int64(text), range.contains(number) else {
            throw .badRequest("error converting input for field \"\(name)\": a whole number is expected")
        }
        return number
    }

    var pathText: String { String(decoding: path, as: UTF8.self) }

    /// A random UUID in text.
    static func newUUID() -> String { makeID().0 }

    /// Random UUID (RFC 9562 §5.4) and its first 16 hex digits.
    private static func makeID() -> (String, String) {
        let (first, second) = Random.publicWords()
        let high = first & ~0xf000 | 0x4000
        let low = second & ~(0xc0 << 56) | 0x80 << 56
        let uuid = String(unsafeUninitializedCapacity: 36) { buffer in
            var position = 0
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    buffer[position] = 0x2d
                    position += 1
                }
                buffer[position] = hexDigit(index < 16 ? high : low, index & 15)
                position += 1
            }
            return 36
        }
        let correlation = String(unsafeUninitializedCapacity: 16) { buffer in
            for index in 0..<16 { buffer[index] = hexDigit(high, index) }
            return 16
        }
        return (uuid, correlation)
    }

    private static func hexDigit(_ word: UInt64, _ index: Int) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: word >> UInt64(60 - index * 4)) & 15
        return value < 10 ? 0x30 + value : 0x57 + value
    }
}

/// A principal whose rights are known.
final class Caller: Sendable {
    let who: AuditWho
    let acl: ACL
    /// The policies that `acl` was made of.
    let policySet: PolicySet
    /// Whether a person has to stand behind the service.
    let subject: AuditWhy.Subject
    /// Nil when the rights come from the peer's identity alone.
    let token: TokenEntry?
    /// All of them: the token's or the peer's, and those of the entity and its groups.
    let policies: [String]
    /// Who owns what is issued to this caller: a token's hash or a peer.
    let owner: String
    /// The person or service behind the request, when one is known; the person, when a service asks for one.
    let entityID: String
    /// Whether credentials of connections are not handed out without a person.
    let demandsPerson: Bool
    /// Set when a service asks for a person: ``acl`` is then what both may.
    let person: PersonPart?

    init(
        who: AuditWho,
        acl: ACL,
        policySet: PolicySet,
        subject: AuditWhy.Subject,
        token: TokenEntry?,
        policies: [String],
        owner: String,
        entityID: String,
        demandsPerson: Bool = false,
        person: PersonPart? = nil
    ) {
        self.demandsPerson = demandsPerson
        self.person = person
        self.who = who
        self.acl = acl
        self.policySet = policySet
        self.subject = subject
        self.token = token
        self.policies = policies
        self.owner = owner
        self.entityID = entityID
    }

    /// Of everybody whose policies decide.
    var policySets: [PolicySet] { [policySet] + (person.map { [$0.policySet] } ?? []) }

    func replacing(token: TokenEntry) -> Caller {
        Caller(
            who: who,
            acl: acl,
            policySet: policySet,
            subject: subject,
            token: token,
            policies: policies,
            owner: owner,
            entityID: entityID,
            demandsPerson: demandsPerson,
            person: person
        )
    }

    /// False once a rule has expired: the rights must be made anew.
    func isCurrent(at now: Timestamp) -> Bool { acl.validUntil.map { now.seconds < $0 } ?? true }
}

/// What a request will do, known before the policy is asked.
struct Endpoint: Sendable {
    enum Access: Sendable {
        /// Any known caller.
        case caller
        /// Also a caller without rights; the vault is unsealed.
        case anyone
        /// A right on the path.
        case capability(Capability)
        /// A right on the path, and `sudo`.
        case sudo(Capability)
    }

    enum Work: Sendable {
        /// Decides and reads at once; recorded as one record.
        case read(@Sendable (isolated Vault, RequestContext) throws -> Effect)
        /// Reads what takes longer; recorded as one record.
        case inquiry(@Sendable (isolated Vault, RequestContext) async throws -> Effect)
        /// Changes something: an intent record before, an outcome record after.
        case change(@Sendable (isolated Vault, RequestContext) async throws -> Effect)
    }

    let operation: AuditOperation
    var what: AuditWhat
    let access: Access
    let work: Work

    static func read(
        _ operation: AuditOperation,
        _ what: AuditWhat,
        _ access: Access,
        _ body: @escaping @Sendable (isolated Vault, RequestContext) throws -> Effect
    ) -> Endpoint { Endpoint(operation: operation, what: what, access: access, work: .read(body)) }

    static func inquiry(
        _ operation: AuditOperation,
        _ what: AuditWhat,
        _ access: Access,
        _ body: @escaping @Sendable (isolated Vault, RequestContext) async throws -> Effect
    ) -> Endpoint { Endpoint(operation: operation, what: what, access: access, work: .inquiry(body)) }

    static func change(
        _ operation: AuditOperation,
        _ what: AuditWhat,
        _ access: Access,
        _ body: @escaping @Sendable (isolated Vault, RequestContext) async throws -> Effect
    ) -> Endpoint { Endpoint(operation: operation, what: what, access: access, work: .change(body)) }

    /// A known path with a verb it does not have.
    static func unsupported(_ what: AuditWhat, _ capability: Capability = .update) -> Endpoint {
        .read(.requestUnmatched, what, .capability(capability)) { _, _ in throw VaultError.unsupportedOperation }
    }
}

/// What came out: the answer and what the record says of it.
struct Effect: Sendable {
    var reply: Reply
    /// Storage generation of the change.
    var generation: UInt64?
    /// Replaces the endpoint's facts when more is known afterwards.
    var what: AuditWhat?
    var failure: String?
    /// Replaces the endpoint's operation when it turned out to be another.
    var operation: AuditOperation?

    init(_ reply: Reply, generation: UInt64? = nil, what: AuditWhat? = nil, failure: String? = nil) {
        self.reply = reply
        self.generation = generation
        self.what = what
        self.failure = failure
    }
}
