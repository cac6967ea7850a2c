internal import CoffreCrypto

/// An epoch's end that is under way.
struct EpochTurn {
    /// The epoch that ends.
    let number: UInt64
    /// The bytes of its seal.
    let seal: [UInt8]
    let time: BatchTime
}

extension PendingRecord {
    /// The record that introduces the key of `epoch`.
    /// - Parameter skipped: days on which nothing was recorded.
    static func rotation(to key: NoteVerifierKey, epoch: UInt64, skipped: Int64) -> PendingRecord {
        .own(
            .keyRotate,
            [("epoch", .int(Int64(clamping: epoch))), ("key", .text(key.text)), ("skipped", .int(skipped))]
        )
    }

    /// The last record of a segment.
    static func closing(_ reason: String, _ tally: SegmentTally, uptime: LogUptime) -> PendingRecord {
        .own(
            .segmentSeal,
            [
                ("reason", .text(reason)), ("table", .text(Base64.encode(tally.connectorDigest.bytes))),
                ("totals", tally.totalsForRecord), ("up", .int(Int64(clamping: uptime.total))),
            ]
        )
    }

    /// A record of the log about itself, for which nobody waits.
    static func own(
        _ operation: AuditOperation,
        _ details: [AuditWhat.Detail],
        waiter: Waiter = .none
    ) -> PendingRecord {
        PendingRecord(
            draft: AuditDraft(
                operation,
                outcome: .granted,
                correlation: Random.base62(16),
                acceptedAt: 0,
                who: .system,
                what: AuditWhat(details: details)
            ),
            waiter: waiter
        )
    }
}
