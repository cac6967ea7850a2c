internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage
internal import CoffreWire

/// What exists only while the vault is open. Confined to the vault's executor.
final class UnsealedState {
    let tokenKey: HMACKey
    /// Encrypts batch tokens.
    let batchKey: AESGCM
    var mounts: MountTable
    /// Disabled mounts whose rows are still being deleted, by id.
    var removedMounts: [String: Mount] = [:]
    var isRemoving = false
    /// What `sys/remount/status` shows.
    var moves: [String: (from: String, to: String)] = [:]
    let decoys = DecoyTable()
    let identity: IdentityTable
    let connections: ConnectionTable
    /// OAuth grants, by the id of their connection.
    var grants: [String: OAuthGrant]
    /// Consents that were begun, by the keyed hash of their `state`.
    var consents: [Digest: PendingConsent] = [:]
    /// Grants that are due and wait for others of their provider, and those of them that are known to wait.
    var grantLines: [String: RevocationLine] = [:]
    var waitingGrants: Set<String> = []
    var isCollectingGrants = false
    var policies: [String: Policy]
    let policyHistory: PolicyHistory
    var peerRoles: [String: PeerRole]
    /// Configurations of `jwt` mounts that have been used, by mount id.
    var jwt: [String: LoadedJWT] = [:]
    /// When keys were fetched last for a token with an unknown one, by mount id.
    var jwtLooks: [String: Timestamp] = [:]
    /// When the newest token of each person was issued (seconds since 1970), by the ids of entity and mount.
    var newestTokens = BoundedCache<String, Int64>(limit: 50_000)
    /// Tokens that services have shown for people.
    var shownTokens = ShownTokens()
    /// Leases under which callers have access tokens, by connection and owner.
    var handedTokens = BoundedCache<[UInt8], HandedToken>(limit: 20_000)
    /// By connection: what answers with its access token say besides the token.
    var answerRests = BoundedCache<String, (rest: TokenAnswerRest, text: [UInt8])>(limit: 10_000)
    /// At least as many leases as each owner has, by the bytes of its name.
    var leaseCounts = BoundedCache<[UInt8], Int>(limit: 10_000)
    var tokens = BoundedCache<Digest, TokenEntry>(limit: 50_000)
    var callers = BoundedCache<CallerKey, Caller>(limit: 10_000)
    var kvMetadata = BoundedCache<[UInt8], KVMetadata>(limit: 20_000)
    var kvConfigurations: [String: KVConfiguration] = [:]
    /// Each holds a page of guarded memory at least.
    var transitKeys = BoundedCache<BarrierKey, LoadedTransitKey>(limit: 256)
    var kvPending: [[UInt8]: PendingMetadata] = [:]
    private var chains: UInt64 = 0
    var reasons = BoundedCache<RuleKey, AuditWhy>(limit: 10_000)
    /// Tokens revoked while answers for them wait for their record.
    var revokedTokens: Set<Digest> = []
    /// Tokens whose revocation is under way: they count as gone, so that nothing new is built on them.
    var endingTokens: Set<Digest> = []
    /// How many children of a token are queued for writing.
    var childrenInFlight: [Digest: Int] = [:]
    let locks = KeyedLocks()
    let leases = LeaseSchedule()
    /// Leases that wait for their revocation, in order and as a set.
    var revocationLines: [String: RevocationLine] = [:]
    var waitingRevocations: Set<String> = []
    let withdrawals = WithdrawalQueue()
    let ownerJobs = OwnerJobs()
    /// Static roles that are being rotated.
    var runningRotations: Set<String> = []
    /// Connections whose rotation is due.
    var rotations = OwnerTurns(limit: 8, limitOfOwner: 4)
    /// By digests of place, account and password under a key of this process.
    var refusedPasswords = RefusedPasswords()
    let firstAttempts = FirstAttempts()
    let refusalKey = HMACKey(SecretBytes.randomKey(count: 32))
    /// Every expiry bucket before this minute has been dealt with.
    var storedCursor: Int64 = 0
    /// Seconds since 1970.
    var nextScrub: Int64 = 0
    var isKeepingUp = false
    /// The minute in which the settings of key rotation were looked at last.
    var rotationChecked: Int64 = 0
    /// Seconds since 1970.
    var nextReconciliation: Int64 = 0
    var reconciliations = OwnerTurns(limit: 8, limitOfOwner: 4)
    /// Leases whose login is being made by a request at this moment.
    var preparing: Set<String> = []
    /// Connections whose removal goes on.
    var removals = OwnerTurns(limit: 8, limitOfOwner: 4)
    /// Connections that may have leases; nil until looked at for the first time.
    var leasedConnections: Set<String>?
    /// The minute in which unfinished removals of connections were looked for last.
    var removalsChecked: Int64 = 0
    /// The day, counted from 1970, since which callers' pseudonyms are remembered.
    var dayOfPeople: Int64 = 0
    var reencryptedThrough: RowAddress?
    /// What is known of an older database that was put back.
    var hold: RestoreHold?

    init(
        tokenKey: HMACKey,
        batchKey: AESGCM,
        mounts: MountTable,
        identity: IdentityTable,
        connections: ConnectionTable,
        grants: [String: OAuthGrant],
        policies: [String: Policy],
        policyHistory: PolicyHistory,
        peerRoles: [String: PeerRole]
    ) {
        self.tokenKey = tokenKey
        self.batchKey = batchKey
        self.mounts = mounts
        self.identity = identity
        self.connections = connections
        self.grants = grants
        self.policies = policies
        self.policyHistory = policyHistory
        self.peerRoles = peerRoles
    }

    /// A number for a row of writers of one secret.
    func nextChain() -> UInt64 {
        chains += 1
        return chains
    }

    func childCommitted(of parent: Digest) {
        let left = (childrenInFlight[parent] ?? 1) - 1
        childrenInFlight[parent] = left > 0 ? left : nil
    }

    /// Rights may have changed: callers are made anew.
    func forgetCallers() { callers.removeAll() }
}

struct CallerKey: Hashable {
    let principal: Principal
    let token: Digest?
}

/// A dictionary that empties itself when it is full: no order to keep, no scan.
struct BoundedCache<Key: Hashable, Value> {
    private let limit: Int
    private var values: [Key: Value] = [:]

    init(limit: Int) { self.limit = limit }

    subscript(key: Key) -> Value? {
        get { values[key] }
        set {
            if newValue != nil, values.count >= limit { values.removeAll() }
            values[key] = newValue
        }
    }

    mutating func removeAll() { values.removeAll() }
}

/// Turns per key: who waits is served in order. Confined to the vault's executor.
final class KeyedLocks {
    private var waiting: [[UInt8]: [CheckedContinuation<Void, Never>]] = [:]

    /// Runs `body` when nobody else holds `key`.
    func withLock<R>(
        _ key: [UInt8],
        isolation: isolated (any Actor)? = #isolation,
        _ body: () async throws -> R
    ) async rethrows -> R {
        if waiting[key] != nil {
            await withCheckedContinuation { waiting[key]?.append($0) }
        } else {
            waiting[key] = []
        }
        defer { release(key) }
        return try await body()
    }

    private func release(_ key: [UInt8]) {
        guard var queue = waiting[key] else { return }
        if queue.isEmpty {
            waiting[key] = nil
            return
        }
        let next = queue.removeFirst()
        waiting[key] = queue
        next.resume()
    }
}

/// First in, first out, without moving what waits.
struct Line<Element> {
    private var elements: [Element?] = []
    private var head = 0

    var isEmpty: Bool { head == elements.count }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard head < elements.count else { return nil }
        let element = elements[head]
        elements[head] = nil
        head += 1
        if head == elements.count || head > 4096 && head > elements.count / 2 {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }
}

/// Leases that wait for their revocation at one place.
struct RevocationLine {
    let limit: Int
    var waiting = Line<String>()
    var running = 0

    init(limit: Int) { self.limit = limit }

    /// The next one whose turn it is.
    mutating func next() -> String? {
        guard running < limit, let id = waiting.popFirst() else { return nil }
        running += 1
        return id
    }
}
