/// Metadata that has been queued for writing and is not durable yet. Readers never see it; the next writer builds on it.
struct PendingMetadata {
    /// Nil when the secret is being removed.
    var metadata: KVMetadata?
    var inFlight: Int
    /// False once a write failed: what was built on it fails too, and the next writer begins with what is durable.
    var isValid = true
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
        let inFlight = (state.kvPending[key]?.inFlight ?? 0) + 1
        state.kvPending[key] = PendingMetadata(metadata: metadata, inFlight: inFlight)
        do {
            effect.generation = try await commit(mutations)
        } catch {
            settle(key, state, isDurable: false)
            throw error
        }
        state.kvMetadata[key] = metadata?.prepared()
        settle(key, state, isDurable: true)
        return effect
    }

    private func latestMetadata(_ place: KVPlace, _ state: UnsealedState) throws -> KVMetadata? {
        if let pending = state.kvPending[place.key], pending.isValid { return pending.metadata }
        return try kvMetadata(place)
    }

    private func settle(_ key: [UInt8], _ state: UnsealedState, isDurable: Bool) {
        guard var pending = state.kvPending[key] else { return }
        pending.inFlight -= 1
        if !isDurable { pending.isValid = false }
        state.kvPending[key] = pending.inFlight > 0 ? pending : nil
    }
}
