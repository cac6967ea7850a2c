internal import CoffreCrypto

/// The clock readings that all records of one batch share.
struct BatchTime: Sendable {
    let time: RecordTime
    let bootMicroseconds: UInt64
    let monotonicNanoseconds: UInt64
    /// `,"_t":"…","boot":"…","cid":` with the batch's values.
    let stamp: [UInt8]
    /// `,"mono":…,"out":{"code":"`.
    let middle: [UInt8]

    init(_ clock: any LogClock) {
        time = RecordTime(microseconds: clock.realMicroseconds())
        bootMicroseconds = clock.bootMicroseconds()
        monotonicNanoseconds = clock.monotonicNanoseconds()
        stamp = Array(#","_t":""#.utf8) + time.utf8 + Array(#"","boot":"\#(clock.bootID)","cid":"#.utf8)
        middle = Array(#","mono":\#(bootMicroseconds),"out":{"code":""#.utf8)
    }
}

/// Writes one record as one line of the strict form (without its line feed).
struct LineEncoder: Sendable {
    /// Longest line, without its line feed.
    static let maximumLineBytes = 16_384
    /// More field names than this are written as digest and number.
    static let maximumFields = 64
    /// When a line gets too long its values shrink to this many bytes each.
    static let tightLimitBytes = 64

    private let digestKey: HMACKey
    private let operations: [AuditOperation: [UInt8]]

    init(digestKey: HMACKey) {
        self.digestKey = digestKey
        operations = Dictionary(uniqueKeysWithValues: AuditOperation.allCases.map { ($0, Array($0.rawValue.utf8)) })
    }

    /// Appends the line to `buffer`; on an error nothing is appended.
    /// - Returns: the limit for values that was used; a connector longer than it is not named in the line.
    func append(
        _ draft: AuditDraft,
        sequence: UInt64,
        previous: Digest,
        at time: BatchTime,
        to buffer: inout ByteBuffer
    ) throws(AuditError) -> Int {
        let start = buffer.count
        for limit in [ByteBuffer.valueLimitBytes, Self.tightLimitBytes] {
            write(draft, sequence, previous, time, limit, to: &buffer)
            if buffer.count - start <= Self.maximumLineBytes { return limit }
            buffer.truncate(to: start)
        }
        throw .invalidRecord(reason: "its line would be longer than \(Self.maximumLineBytes) bytes")
    }

    private func write(
        _ draft: AuditDraft,
        _ sequence: UInt64,
        _ previous: Digest,
        _ time: BatchTime,
        _ limit: Int,
        to buffer: inout ByteBuffer
    ) {
        let digest = digestKey
        buffer.append(#"{"_p":""#)
        buffer.append(digest: previous)
        buffer.append(#"","_s":"#)
        buffer.append(decimal: sequence)
        buffer.append(time.stamp)
        _ = buffer.append(bounded: draft.correlation, limit: Self.tightLimitBytes, digest: digest)
        if let generation = draft.generation {
            buffer.append(#","gen":"#)
            buffer.append(unsigned: generation)
        }
        buffer.append(time.middle)
        switch draft.outcome {
        case .granted: buffer.append(#"granted""#)
        case .denied: buffer.append(#"denied""#)
        case .error: buffer.append(#"error""#)
        case .rateLimited: buffer.append(#"rate_limited""#)
        }
        if let error = draft.error {
            buffer.append(#","err":"#)
            _ = buffer.append(bounded: error, limit: limit, digest: digest)
        }
        buffer.append(#","us":"#)
        let isTimed = draft.acceptedAt > 0 && time.monotonicNanoseconds > draft.acceptedAt
        buffer.append(unsigned: isTimed ? (time.monotonicNanoseconds - draft.acceptedAt) / 1000 : 0)
        switch draft.phase {
        case .single: buffer.append(#"},"ph":"single""#)
        case .intent: buffer.append(#"},"ph":"intent""#)
        case .outcome: buffer.append(#"},"ph":"outcome""#)
        }
        if !draft.references.isEmpty {
            buffer.append(#","ref":["#)
            for index in draft.references.indices {
                if index > 0 { buffer.append(byte: 0x2c) }
                buffer.append(decimal: draft.references[index])
            }
            buffer.append(byte: 0x5d)
        }
        buffer.append(#","v":1,"what":"#)
        write(draft.what, operation: draft.operation, limit, digest, to: &buffer)
        buffer.append(#","who":"#)
        draft.who.append(to: &buffer, limit: limit, digest: digest)
        if !draft.why.isEmpty {
            buffer.append(#","why":"#)
            draft.why.append(to: &buffer, limit: limit, digest: digest)
        }
        buffer.append(byte: 0x7d)
    }

    // Keys in byte order: conn det fields lease mount op path pd pn to ver.
    private func write(
        _ what: AuditWhat,
        operation: AuditOperation,
        _ limit: Int,
        _ digest: ValueDigest,
        to buffer: inout ByteBuffer
    ) {
        func text(_ name: StaticString, _ value: String?, to buffer: inout ByteBuffer) {
            guard let value else { return }
            buffer.append(name)
            _ = buffer.append(bounded: value, limit: limit, digest: digest)
            buffer.append(byte: 0x2c)
        }
        buffer.append(byte: 0x7b)
        text(#""conn":"#, what.connector, to: &buffer)
        if !what.details.isEmpty { write(details: what.details, limit, digest, to: &buffer) }
        if !what.fields.isEmpty { write(fields: what.fields, limit, digest, to: &buffer) }
        text(#""lease":"#, what.lease, to: &buffer)
        text(#""mount":"#, what.mount, to: &buffer)
        buffer.append(#""op":""#)
        buffer.append(operations[operation] ?? Array(operation.rawValue.utf8))
        buffer.append(#"","#)
        text(#""path":"#, what.path, to: &buffer)
        text(#""pd":"#, what.pathDigest, to: &buffer)
        if let length = what.pathLength {
            buffer.append(#""pn":"#)
            buffer.append(integer: Int64(length))
            buffer.append(byte: 0x2c)
        }
        text(#""to":"#, what.recipient, to: &buffer)
        if let version = what.version {
            buffer.append(#""ver":"#)
            buffer.append(integer: Int64(version))
            buffer.append(byte: 0x2c)
        }
        buffer.truncate(to: buffer.count - 1)
        buffer.append(byte: 0x7d)
    }

    private func write(
        details: [AuditWhat.Detail],
        _ limit: Int,
        _ digest: ValueDigest,
        to buffer: inout ByteBuffer
    ) {
        buffer.append(#""det":{"#)
        let sorted = details.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        for (index, detail) in sorted.enumerated() {
            if index > 0 { buffer.append(byte: 0x2c) }
            buffer.append(text: detail.key)
            buffer.append(byte: 0x3a)
            _ = detail.value.append(to: &buffer, limit: limit, digest: digest)
        }
        buffer.append("},")
    }

    private func write(fields: [String], _ limit: Int, _ digest: ValueDigest, to buffer: inout ByteBuffer) {
        buffer.append(#""fields":"#)
        var total = 0
        for field in fields { total += field.utf8.count }
        if fields.count > Self.maximumFields || total > 8 * limit {
            var joined: [UInt8] = []
            for field in fields { joined += DigestInput.lengthPrefix(field.utf8.count) + Array(field.utf8) }
            joined.withUnsafeBytes { buffer.append(digestOf: $0, count: fields.count, digest: digest) }
        } else {
            buffer.append(byte: 0x5b)
            for index in fields.indices {
                if index > 0 { buffer.append(byte: 0x2c) }
                _ = buffer.append(bounded: fields[index], limit: limit, digest: digest)
            }
            buffer.append(byte: 0x5d)
        }
        buffer.append(byte: 0x2c)
    }

    /// Why `draft` cannot be written in the strict form, nil when it can.
    static func defect(of draft: AuditDraft) -> String? {
        if let generation = draft.generation, generation > 9_007_199_254_740_991 {
            return "its generation is too large"
        }
        if draft.references.count > 64 { return "it refers to more than 64 records" }
        if draft.what.details.isEmpty { return nil }
        for detail in draft.what.details where !isValidKey(detail.key) { return "a detail has an invalid name" }
        guard draft.what.details.count > 1 else {
            return draft.what.details.contains { hasInvalidCounts($0.value) } ? "a count has an invalid name" : nil
        }
        let names = Set(draft.what.details.map { Array($0.key.utf8) })
        if names.count != draft.what.details.count { return "two details have the same name" }
        return draft.what.details.contains { hasInvalidCounts($0.value) } ? "a count has an invalid name" : nil
    }

    private static func hasInvalidCounts(_ value: AuditValue) -> Bool {
        guard case .counts(let counts) = value else { return false }
        return counts.contains { !isValidKey($0.key) } || Set(counts.map { Array($0.key.utf8) }).count != counts.count
    }

    /// Lower-case ASCII letters, digits and `_ . /`, 1 to 64 of them.
    static func isValidKey(_ key: String) -> Bool {
        (1...64).contains(key.utf8.count) && key.utf8.allSatisfy(StrictJSON.isKeyByte)
    }
}
