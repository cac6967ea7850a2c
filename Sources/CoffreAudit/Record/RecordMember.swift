/// One name and value of a small object inside a record.
struct RecordMember: Sendable {
    let key: StaticString
    let value: AuditValue

    /// The object in the strict form, or nil when a value is over its limit and needs the log's digest key.
    static func encodedOnce(_ members: [RecordMember]) -> [UInt8]? {
        var buffer = ByteBuffer(capacity: 256)
        guard append(members, to: &buffer, limit: ByteBuffer.valueLimitBytes, digest: nil) else { return nil }
        return Array(buffer.bytes)
    }

    /// - Parameter members: sorted by key.
    static func append(
        _ members: [RecordMember],
        to buffer: inout ByteBuffer,
        limit: Int,
        digest: ValueDigest?
    ) -> Bool {
        buffer.append(byte: 0x7b)
        for (index, member) in members.enumerated() {
            if index > 0 { buffer.append(byte: 0x2c) }
            buffer.append(byte: 0x22)
            buffer.append(member.key)
            buffer.append(#"":"#)
            guard member.value.append(to: &buffer, limit: limit, digest: digest) else { return false }
        }
        buffer.append(byte: 0x7d)
        return true
    }
}

extension [RecordMember] {
    mutating func add(_ key: StaticString, _ text: String?) {
        if let text { append(RecordMember(key: key, value: .text(text))) }
    }

    mutating func add(_ key: StaticString, _ number: Int64?) {
        if let number { append(RecordMember(key: key, value: .int(number))) }
    }
}
