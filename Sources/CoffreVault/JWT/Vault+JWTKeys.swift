internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// A key that the broker fetched from the provider's address: the broker is not believed, so each waits for an operator.
struct FetchedJWTKey: Sendable {
    let key: JWTKey
    var isAccepted = false
    /// Whether it was in the set when that was fetched last. What the provider takes back is believed no longer.
    var isPublished = true
    let firstSeen: Timestamp

    var isBelieved: Bool { isAccepted && isPublished }

    var state: String { isPublished ? isAccepted ? "accepted" : "pending" : "withdrawn" }

    /// What becomes of it at a fetch that changes whether it is there; nil when it is forgotten. One that comes back is
    /// compared anew: the provider had its reasons to take it away.
    func refetched(isPublished: Bool) -> FetchedJWTKey? {
        guard isPublished || isAccepted else { return nil }
        var key = self
        key.isAccepted = false
        key.isPublished = isPublished
        return key
    }

    var encoded: SharedSecret {
        let value: JSONValue = [
            "jwk": key.json, "accepted": .bool(isAccepted), "published": .bool(isPublished),
            "seen": .integer(firstSeen.nanoseconds),
        ]
        return SharedSecret(copying: value.encoded())
    }

    init(_ key: JWTKey, at now: Timestamp) {
        self.key = key
        firstSeen = now
    }

    /// - Throws: ``VaultError`` `.storageCorrupt`.
    init(decoding stored: SharedSecret) async throws {
        let value = try JSONValue(stored: stored, "a key of a provider")
        guard let jwk = value["jwk"], let key = try await JWTKey.read(jwk: jwk), let seen = value["seen"]?.integer
        else { throw VaultError(.storageCorrupt, "a key of a provider cannot be read") }
        self.key = key
        isAccepted = value["accepted"]?.bool ?? false
        isPublished = value["published"]?.bool ?? false
        firstSeen = Timestamp(nanoseconds: seen)
    }
}

/// `auth/<mount>/keys`: keys are known by their RFC 7638 thumbprint, since that is what an operator compares: whoever
/// accepts one accepts that key, whatever its publisher calls it by then.
extension Vault {
    /// Seconds between two fetches for tokens whose key is unknown.
    private static let secondsBetweenLooks: Int64 = 60

    func jwtKeysEndpoint(_ context: RequestContext, _ place: JWTPlace, _ parts: [String], _ what: AuditWhat)
        -> Endpoint?
    {
        // What is no thumbprint (RFC 7638, SHA-256 in base64url) is the caller's own text: nothing that a record shows.
        guard parts.count == 1 || parts[1] == "refresh" && parts.count == 2 || Self.isThumbprint(parts[1]) else {
            return nil
        }
        switch (parts.count, parts.last ?? "", context.verb) {
        case (1, _, .list):
            return .inquiry(.sysRead, what, .capability(.list)) { vault, _ in
                let shown = try await vault.shownKeys(place)
                guard !shown.isEmpty else { throw VaultError.notFound }
                return Effect(
                    .data(["key_info": .object(shown), "keys": .strings(shown.map(\.key))])
                )
            }
        case (2, "refresh", .write):
            return .change(.authChange, what, .capability(.update)) { vault, _ in
                let found = try await vault.refreshKeys(place, isAsked: true)
                return Effect(.data(.object(found.shown)), generation: found.generation)
            }
        case (2, let thumbprint, .get):
            return .inquiry(.sysRead, what, .capability(.read)) { vault, _ in
                let shown = try await vault.shownKeys(place).first { $0.key.utf8.elementsEqual(thumbprint.utf8) }
                guard let shown else { throw VaultError.notFound }
                return Effect(.data(shown.value))
            }
        case (2, let thumbprint, .delete):
            return .change(.authChange, what, .capability(.delete)) { vault, _ in
                try await vault.changeKey(place, thumbprint, what) { _ in nil }
            }
        case (3, "accept", .write):
            let thumbprint = parts[1]
            return .change(.authChange, what, .capability(.update)) { vault, _ in
                try await vault.changeKey(place, thumbprint, what) { key in
                    var key = key
                    key.isAccepted = true
                    return key
                }
            }
        case (1, _, _): return .unsupported(what, .list)
        case (2, _, _), (3, "accept", _): return .unsupported(what)
        default: return nil
        }
    }

    private static func isThumbprint(_ text: String) -> Bool {
        text.utf8.count == 43
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d
                    || $0 == 0x5f
            }
    }

    func fetchedKeys(_ place: JWTPlace) async throws -> [FetchedJWTKey] {
        var keys: [FetchedJWTKey] = []
        for (_, row) in try barrier.entries(in: .identity, parent: place.parent("jwt-key"), limit: 4 * JWTKey.most) {
            keys.append(try await FetchedJWTKey(decoding: row.value))
        }
        return keys.sorted { $0.key.thumbprint < $1.key.thumbprint }
    }

    private func shownKeys(_ place: JWTPlace) async throws -> [JSONValue.Member] {
        let loaded = try await loadedJWT(place.mount)
        func show(_ key: JWTKey, _ state: String, _ seen: Timestamp?) -> JSONValue.Member {
            .init(
                key.thumbprint,
                [
                    "first_seen": seen.map { .string($0.rfc3339) } ?? .null, "jwk": key.json,
                    "kid": key.kid.map { .string($0) } ?? .null, "state": .string(state),
                    "thumbprint": .string(key.thumbprint),
                ]
            )
        }
        let fetched = loaded.fetched.filter { key in !loaded.pinned.contains { $0.thumbprint == key.key.thumbprint } }
        return (loaded.pinned.map { show($0, "pinned", nil) } + fetched.map { show($0.key, $0.state, $0.firstSeen) })
            .sorted { $0.key < $1.key }
    }

    /// - Parameter change: what becomes of the key; nil when it goes.
    private func changeKey(
        _ place: JWTPlace,
        _ thumbprint: String,
        _ what: AuditWhat,
        _ change: (FetchedJWTKey) -> FetchedJWTKey?
    ) async throws -> Effect {
        let loaded = try await loadedJWT(place.mount)
        guard !loaded.pinned.contains(where: { $0.thumbprint.utf8.elementsEqual(thumbprint.utf8) }) else {
            throw VaultError.badRequest("this key is in the configuration: write \(place.mount.path)config without it")
        }
        return try await inJWTTurn(place) {
            guard let row = try barrier.get(place.key(thumbprint)) else { throw VaultError.notFound }
            let key = try await FetchedJWTKey(decoding: row.value)
            var mutation = BarrierMutation.delete(place.key(thumbprint), expect: .any)
            if let changed = change(key) { mutation = .put(place.key(thumbprint), changed.encoded, expect: .any) }
            let generation = try await commit([mutation])
            try await reloadJWT(place)
            var what = what
            what.details = [("kid", .text(key.key.kid ?? ""))]
            return Effect(.noContent, generation: generation, what: what)
        }
    }

    /// In turn with other changes of the mount.
    private func reloadJWT(_ place: JWTPlace) async throws {
        // Until it is there again nothing is believed.
        unsealed?.jwt[place.mount.id] = nil
        guard let state = unsealed, let configuration = try jwtConfiguration(place) else { return }
        state.jwt[place.mount.id] = try await LoadedJWT(configuration, fetched: fetchedKeys(place))
    }

    // MARK: fetching

    private struct Refreshed {
        var new: [String] = []
        var withdrawn: [String] = []
        var published = 0
        var generation: UInt64?

        var shown: [JSONValue.Member] {
            [
                .init("new", .strings(new)), .init("published", .integer(published)),
                .init("withdrawn", .strings(withdrawn)),
            ]
        }
    }

    /// A token named a key that nobody knows: the provider may have a new one. At most once a minute, whoever asks.
    func lookForKeys(_ mount: Mount, _ loaded: LoadedJWT) {
        guard let state = unsealed, !loaded.configuration.jwksURL.isEmpty else { return }
        let now = clock.now()
        if let last = state.jwtLooks[mount.id], now < last.adding(seconds: Self.secondsBetweenLooks), last <= now {
            return
        }
        state.jwtLooks[mount.id] = now
        Task {
            do { _ = try await self.refreshKeys(JWTPlace(mount: mount), isAsked: false) } catch {
                self.journal(
                    true,
                    "the keys of a provider could not be fetched",
                    ["mount": mount.path, "reason": VaultError(mapping: error).message]
                )
            }
        }
    }

    /// - Parameter isAsked: by a request, which has its own records.
    private func refreshKeys(_ place: JWTPlace, isAsked: Bool) async throws -> Refreshed {
        guard let state = unsealed else { throw VaultError.sealed }
        let configuration = try await loadedJWT(place.mount).configuration
        guard let target = try? WebTarget(configuration.jwksURL) else {
            throw VaultError.badRequest("the configuration has no jwks_url: there is nowhere to fetch keys from")
        }
        let set = try await fetchKeySet(target)
        var found = Refreshed()
        _ = try await inJWTTurn(place) {
            // It may have been written anew meanwhile.
            guard unsealed === state,
                try jwtConfiguration(place)?.jwksURL.utf8.elementsEqual(configuration.jwksURL.utf8) ?? false
            else { throw VaultError.badRequest("the configuration was changed at this very moment: ask again") }
            let now = clock.now()
            let known = try await fetchedKeys(place)
            var mutations: [BarrierMutation] = []
            for old in known {
                let isPublished = set.contains { $0.thumbprint == old.key.thumbprint }
                guard isPublished != old.isPublished else { continue }
                let row = place.key(old.key.thumbprint)
                guard let changed = old.refetched(isPublished: isPublished) else {
                    mutations.append(.delete(row, expect: .any))
                    continue
                }
                if isPublished {
                    found.new.append(old.key.thumbprint)
                } else {
                    found.withdrawn.append(old.key.thumbprint)
                }
                mutations.append(.put(row, changed.encoded, expect: .any))
            }
            let strangers = set.filter { key in !known.contains { $0.key.thumbprint == key.thumbprint } }
            guard known.count + strangers.count <= 4 * JWTKey.most else {
                throw VaultError.badRequest("too many keys are kept already: delete those that are withdrawn")
            }
            for key in strangers {
                mutations.append(.put(place.key(key.thumbprint), FetchedJWTKey(key, at: now).encoded, expect: .any))
                found.new.append(key.thumbprint)
            }
            found.published = set.count
            guard !mutations.isEmpty else { return Effect(.noContent) }
            let changes = mutations
            if isAsked {
                found.generation = try await commit(changes)
            } else {
                let what = AuditWhat(path: place.mount.path + "keys/refresh")
                try await recorded(.authChange, what) { _ = try await commit(changes) }
            }
            try await reloadJWT(place)
            return Effect(.noContent)
        }
        if !found.new.isEmpty || !found.withdrawn.isEmpty {
            journal(
                false,
                "a provider's keys have changed; new ones wait to be accepted",
                [
                    "mount": place.mount.path, "new": found.new.prefix(8).joined(separator: " "),
                    "withdrawn": found.withdrawn.prefix(8).joined(separator: " "),
                ]
            )
        }
        return found
    }

    /// What the provider publishes, as far as it can be used: untrusted.
    private func fetchKeySet(_ target: WebTarget) async throws -> [JWTKey] {
        let reply = try await fetch(target, "application/jwk-set+json, application/json")
        guard reply.status == 200 else {
            throw VaultError(.upstream, "the provider's address of keys answered with status \(reply.status)")
        }
        let set = reply.body.withUnsafeBytes { bytes -> JSONValue? in
            (try? JSONView(bytes, maximumDepth: 8, maximumNodes: 10_000)).map { JSONValue($0) }
        }
        guard let all = set?["keys"]?.array, all.count <= JWTKey.most else {
            throw VaultError(.upstream, "the provider's address of keys answered with something else than a key set")
        }
        var keys: [JWTKey] = []
        for jwk in all {
            // One that cannot be used is no reason to do without the others. Without a name no token could mean it.
            guard let key = try? await JWTKey.read(jwk: jwk), key.kid != nil,
                !keys.contains(where: { $0.thumbprint == key.thumbprint })
            else { continue }
            keys.append(key)
        }
        guard !keys.isEmpty else {
            throw VaultError(.upstream, "the provider's key set has no key that tokens are signed with")
        }
        return keys
    }

    /// Has the broker fetch something from the web.
    private func fetch(_ target: WebTarget, _ type: String) async throws -> BrokerReply {
        let answer: BrokerAnswer
        do {
            let job = try BrokerPost(target: target, method: .get, contentType: type, body: [])
            let words = Random.bytes(16)
            guard let id = BrokerJobID(bytes: words) else { throw BrokerTransportError("no job id") }
            counters.jobs &+= 1
            let frame = try await broker.exchange(.job, id, body: SharedSecret(copying: job.encode()))
            guard frame.kind == .answer,
                case .plain(let plain) = try frame.body.withUnsafeBytes({ try BrokerAnswer.Parcel(decoding: $0) })
            else { throw BrokerTransportError("the broker's answer cannot be read") }
            answer = plain
        } catch {
            counters.failedJobs &+= 1
            throw VaultError(
                .brokerUnavailable,
                "the broker is not available: check coffre-broker.service",
                cause: error
            )
        }
        switch answer {
        case .replied(let reply): return reply
        case .failed(let failure): throw Self.error(failure)
        default: throw VaultError(.upstream, "the broker answered what it was not asked")
        }
    }
}
