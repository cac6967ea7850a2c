internal import CoffreCrypto
internal import CoffreWire

extension BrokerKey {
    /// Apart from other jobs: an answer of these is never collected to be dropped.
    static let oauthParent = Array("oauth-job".utf8)

    static func oauthRow(_ id: BrokerJobID) -> BarrierKey {
        BarrierKey(namespace: .other, parent: oauthParent, name: id.bytes)
    }
}

// A job's row holds the private half of its key (32 bytes) and what the caller wants to find again. It is there from
// before the job leaves until what its answer brought is durable, so that no token is lost by a restart of either side.
extension Vault {
    private static let keyBytes = 32

    /// Has the broker do one exchange with a provider.
    ///
    /// The answer stays with the broker until ``finishOAuth(_:with:)``. After an error the job may have been done all the
    /// same: ``unfinishedOAuth()`` lists it and ``collectOAuth(_:)`` fetches its answer.
    /// - Parameters:
    ///   - secrets: what the job's kind asks for.
    ///   - about: what a restart needs to know of the job, such as the grant that it is for.
    ///   - mutations: carried out together with the job's own intent, before anything leaves.
    /// - Throws: ``VaultError`` `.brokerUnavailable`, `.badRequest` for a job that is not valid; ``BarrierError``.
    func runOAuth(
        _ job: BrokerOAuth,
        secrets: [BrokerOAuth.Secret: SharedSecret],
        about: [UInt8],
        with mutations: [BarrierMutation] = []
    ) async throws -> OAuthResult {
        let id = BrokerJobID(high: Self.oauthWord(), low: Self.oauthWord())
        let keys = SealedBox.KeyPair()
        var job = job
        job.publicKey = keys.publicKey
        let body = try Self.encode(job, secrets)
        let privateKey = keys.privateKey.withBytes { SharedSecret(copying: $0) }
        let row = keys.privateKey.withBytes { key in
            SharedSecret(
                SecretBytes(count: key.count + about.count) { target in
                    target.copyMemory(from: key)
                    UnsafeMutableRawBufferPointer(rebasing: target[key.count...]).copyBytes(from: about)
                }
            )
        }
        openJobs.insert(id)
        defer { openJobs.remove(id) }
        _ = try await commit([.put(BrokerKey.oauthRow(id), row, expect: .absent)] + mutations)
        counters.jobs &+= 1
        guard let result = try await askForOAuth(.job, id, body, privateKey) else {
            counters.failedJobs &+= 1
            throw Self.noBroker(BrokerTransportError("the broker does not know the job that it was given"))
        }
        if case .failed = result.reply.outcome { counters.failedJobs &+= 1 }
        return result
    }

    /// Exchanges whose answers have not been dealt with, and that nobody waits for now.
    /// - Throws: ``BarrierError``.
    func unfinishedOAuth() throws -> [(id: BrokerJobID, about: [UInt8])] {
        try barrier.names(in: .other, parent: BrokerKey.oauthParent).compactMap { name in
            guard let id = BrokerJobID(bytes: name), !openJobs.contains(id),
                let row = try barrier.get(BrokerKey.oauthRow(id))?.value
            else { return nil }
            return (id, row.withBytes { Array($0.dropFirst(Self.keyBytes)) })
        }
    }

    /// Fetches the answer of an exchange that was interrupted; waits when it is still under way.
    /// - Returns: nil when the broker knows no such job: it never began, or the broker died in it. What the provider did
    ///   is not known then.
    /// - Throws: ``VaultError`` `.brokerUnavailable`; ``BarrierError``.
    func collectOAuth(_ id: BrokerJobID) async throws -> OAuthResult? {
        guard let row = try barrier.get(BrokerKey.oauthRow(id))?.value, row.count >= Self.keyBytes else { return nil }
        let key = row.withBytes { SharedSecret(copying: UnsafeRawBufferPointer(rebasing: $0[..<Self.keyBytes])) }
        openJobs.insert(id)
        defer { openJobs.remove(id) }
        return try await askForOAuth(.collect, id, SharedSecret(copying: []), key)
    }

    /// Makes durable what an answer brought, forgets the job with it, and lets the broker forget the answer.
    /// - Throws: ``BarrierError``; the answer is kept then.
    func finishOAuth(_ id: BrokerJobID, with mutations: [BarrierMutation] = []) async throws {
        _ = try await commit(mutations + [.delete(BrokerKey.oauthRow(id), expect: .any)])
        await broker.acknowledge(id)
    }

    private func askForOAuth(
        _ kind: BrokerFrame.Kind,
        _ id: BrokerJobID,
        _ body: SharedSecret,
        _ privateKey: SharedSecret
    ) async throws -> OAuthResult? {
        do throws(BrokerTransportError) {
            let frame = try await broker.exchange(kind, id, body: body)
            return frame.kind == .answer ? open(frame.body, id, privateKey) : nil
        } catch {
            counters.failedJobs &+= 1
            journal(true, "the broker did not do a job", ["reason": error.message])
            throw Self.noBroker(error)
        }
    }

    /// An answer that is none is one that cannot be used: it would not get better by asking again.
    private func open(_ body: [UInt8], _ id: BrokerJobID, _ privateKey: SharedSecret) -> OAuthResult {
        do {
            switch try body.withRawBytes({ body throws(BrokerWireError) in try BrokerAnswer.Parcel(decoding: body) }) {
            case .plain(.failed(let failure)): return OAuthResult(id, OAuthReply(.failed(OAuthProblem(failure))))
            case .plain: return OAuthResult(id, OAuthReply(.failed(.malformed)))
            case .sealed(let box):
                let opened = try box.withRawBytes { box throws(CryptoError) in
                    try privateKey.withSecret { key throws(CryptoError) in
                        SharedSecret(try SealedBox.open(box, privateKey: key))
                    }
                }
                return try opened.withBytes { bytes throws(BrokerWireError) in try OAuthResult(id, decoding: bytes) }
            }
        } catch {
            journal(true, "the broker's answer cannot be read", ["job": "\(id)"])
            return OAuthResult(id, OAuthReply(.failed(.malformed)))
        }
    }

    private static func encode(
        _ job: BrokerOAuth,
        _ secrets: [BrokerOAuth.Secret: SharedSecret]
    ) throws -> SharedSecret {
        let size = job.encodedSize(secretBytes: secrets.mapValues(\.count))
        let items = secrets.map { (key: $0.key, value: $0.value) }
        do throws(BrokerWireError) {
            return try lend(items[...], [:]) { lent throws(BrokerWireError) in
                SharedSecret(
                    try SecretBytes(count: size) { target throws(BrokerWireError) in
                        _ = try job.encode(secrets: lent, into: target)
                    }
                )
            }
        } catch {
            throw VaultError.badRequest(error.message)
        }
    }

    private static func lend(
        _ rest: ArraySlice<(key: BrokerOAuth.Secret, value: SharedSecret)>,
        _ lent: [BrokerOAuth.Secret: UnsafeRawBufferPointer],
        _ body: ([BrokerOAuth.Secret: UnsafeRawBufferPointer]) throws(BrokerWireError) -> SharedSecret
    ) throws(BrokerWireError) -> SharedSecret {
        guard let first = rest.first else { return try body(lent) }
        return try first.value.withBytes { bytes throws(BrokerWireError) in
            var lent = lent
            lent[first.key] = bytes
            return try lend(rest.dropFirst(), lent, body)
        }
    }

    private static func noBroker(_ cause: BrokerTransportError) -> VaultError {
        VaultError(.brokerUnavailable, "the broker is not available: check coffre-broker.service", cause: cause)
    }

    private static func oauthWord() -> UInt64 { Random.bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
