internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage
internal import CoffreWire

/// One entry of the mount table.
struct Mount: Sendable {
    enum Kind: String, Sendable {
        case kv
        case database
    }

    /// With trailing slash.
    let path: String
    let type: Kind
    /// Never reused; the storage prefix of the mount.
    let id: String
    let accessor: String
    let description: String
}

/// What exists only while the vault is open. Confined to the vault's executor.
final class UnsealedState {
    let tokenKey: HMACKey
    let mounts: [Mount]
    var policies: [String: Policy]
    var peerRoles: [String: PeerRole]
    var tokens = BoundedCache<Digest, TokenEntry>(limit: 50_000)
    var callers = BoundedCache<CallerKey, Caller>(limit: 10_000)
    var kvMetadata = BoundedCache<[UInt8], KVMetadata>(limit: 20_000)
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
    /// Every expiry bucket before this minute has been dealt with.
    var storedCursor: Int64 = 0
    /// Seconds since 1970.
    var nextScrub: Int64 = 0
    var isKeepingUp = false
    var reencryptedThrough: RowAddress?

    init(tokenKey: HMACKey, mounts: [Mount], policies: [String: Policy], peerRoles: [String: PeerRole]) {
        self.tokenKey = tokenKey
        self.mounts = mounts
        self.policies = policies
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

    func mount(of path: [UInt8]) -> Mount? { mounts.first { path.starts(with: $0.path.utf8) } }

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
