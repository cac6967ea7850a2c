package import CoffreCrypto

/// Cards: who reads them, replaces them, and has them erased.
extension AuditLog {
    /// The card of `sid`: what its registration, or the last update, was given. Nil when it was erased. Blocks on the disk.
    /// - Throws: ``AuditError`` `.damaged`, `.system`.
    package func card(of sid: String) throws(AuditError) -> SecretBytes? {
        guard let card = try subjects.disclose(sid) else { return nil }
        return card.card
    }

    /// The card of `sid` with its salt, for a proof bundle. Nil when it was erased. Blocks on the disk.
    /// - Throws: ``AuditError`` `.damaged`, `.system`.
    package func disclose(_ sid: String) throws(AuditError) -> DisclosedCard? { try subjects.disclose(sid) }

    /// Erases the card of `sid` under an `erasure.request` and an `erasure.done` record; the records that mention it
    /// stay, and nobody can say any more whose they are. Its subject gets another pseudonym when it comes again.
    /// Blocks on the disk.
    /// - Parameters:
    ///   - reason: one of ``ErasureReason/ofPeople``.
    ///   - makeDraft: makes both records from their details: who asked.
    /// - Returns: the number of the `erasure.done` record; nil when there is no such card.
    /// - Throws: ``AuditError``: `.invalidRecord` when a hold needs the card, `.noSpace`, `.failed`, `.closed`,
    ///   `.damaged`, `.system`. What was begun is finished by the next sweep or start.
    package func erase(
        _ sid: String,
        reason: ErasureReason,
        makeDraft: @escaping @Sendable (AuditOperation, [AuditWhat.Detail]) -> AuditDraft
    ) throws(AuditError) -> UInt64? {
        try cards.erase(sid, reason, makeDraft)
    }

    /// Replaces the card of `sid` under a `subject.update` record. Blocks on the disk.
    /// - Parameters:
    ///   - card: at most 64 KiB.
    ///   - makeDraft: makes the record from its details: who changed it.
    /// - Returns: the number of the record; nil when there is no such card.
    /// - Throws: ``AuditError``: `.invalidRecord`, `.overloaded`, `.noSpace`, `.failed`,
    ///   `.closed`, `.system`.
    package func updateCard(
        of sid: String,
        card: [UInt8],
        makeDraft: @escaping @Sendable (AuditOperation, [AuditWhat.Detail]) -> AuditDraft
    ) throws(AuditError) -> UInt64? {
        try cards.update(sid, card: card, makeDraft)
    }

    /// Why cards could not be put in order; nil when they are.
    package var cardFailure: AuditError? { cards.currentFailure }

    /// What connections were asked.
    package var queries: QueryHistory { cards.queries }
}
