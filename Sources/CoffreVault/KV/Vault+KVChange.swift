internal import CoffreWire

/// Metadata that has been queued for writing and is not durable yet. Readers never see it; the next writer builds on it.
struct PendingMetadata {
    /// Which row of writers this is. One failure ends it: what was built on the failed write fails too, and the next writer
    /// begins another with what is durable.
    let chain: UInt64
    /// What the last of them has queued; nil when the secret is being removed.
    var metadata: KVMetadata?
    var inFlight: Int
}

extension Vault {
    /// What a change makes of the metadata (nil: nothing there, or removed), the other rows, and the answer.
    typealias MetadataChange = (metadata: KVMetadata?, mutations: [BarrierMutation], effect: Effect)

    /// Changes a secret. Writers of one secret follow each other without waiting for the disk: each builds on what the one
    /// before has queued, and expects exactly that version of the row, so that a failed write takes its followers with it.
    func changeMetadata(
        _ place: KVPlace,
        _ state: UnsealedState,
        _ body: (KVMetadata?) throws -> MetadataChange
    ) async throws -> Effect {
        let key = place.key
        let known = try latestMetadata(place, state)
        var (metadata, mutations, effect) = try body(known)
        if metadata == nil, known == nil { return effect }
        let expectation = known.map { BarrierMutation.Expectation.version($0.rowVersion) } ?? .absent
        if metadata != nil {
            metadata?.rowVersion = (known?.rowVersion ?? 0) + 1
        }
        // First of all: a folder goes only when nothing is left in it.
        if let encoded = metadata?.encoded {
            mutations.insert(.put(place.metadata, encoded, expect: expectation), at: 0)
        } else {
            mutations.insert(.delete(place.metadata, expect: expectation), at: 0)
        }
        let pending = state.kvPending[key]
        let chain = pending?.chain ?? state.nextChain()
        state.kvPending[key] = PendingMetadata(
            chain: chain,
            metadata: metadata,
            inFlight: (pending?.inFlight ?? 0) + 1
        )
        do {
            effect.generation = try await commit(mutations)
        } catch {
            settle(key, state, chain, isDurable: false)
            throw error
        }
        settle(key, state, chain, isDurable: true)
        return effect
    }

    /// What the next writer of a secret builds on: the last queued metadata, else what is durable.
    func latestMetadata(_ place: KVPlace, _ state: UnsealedState) throws -> KVMetadata? {
        if let pending = state.kvPending[place.key] { return pending.metadata }
        return try kvMetadata(place)
    }

    /// The policy was asked for `create` or `update`. While the request waited for its record somebody else created or
    /// removed the secret, so that the other right is needed too.
    /// - Throws: ``VaultError`` `.permissionDenied`.
    func decideAgain(_ capability: Capability, _ context: RequestContext) throws(VaultError) {
        guard let caller = context.caller, caller.acl.decide(capability, path: context.path).isAllowed else {
            throw VaultError.permissionDenied
        }
    }

    /// Commits are heard of in any order. While one is under way readers ask the storage, so that who was answered reads
    /// what they wrote; when all are durable, the last queued is what is there.
    private func settle(_ key: [UInt8], _ state: UnsealedState, _ chain: UInt64, isDurable: Bool) {
        state.kvMetadata[key] = nil
        guard var pending = state.kvPending[key], pending.chain == chain else { return }
        pending.inFlight -= 1
        if !isDurable {
            state.kvPending[key] = nil
        } else if pending.inFlight == 0 {
            state.kvPending[key] = nil
            state.kvMetadata[key] = pending.metadata?.prepared()
        } else {
            state.kvPending[key] = pending
        }
    }
}
