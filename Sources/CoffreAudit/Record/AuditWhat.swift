/// A value of `what.det`.
package enum AuditValue: Sendable, Equatable {
    /// Outside ±(2^53−1) it is written as a decimal string.
    case int(Int64)
    case text(String)
    case flag(Bool)
    /// Bytes that are not text: `{"b64":"…"}`.
    case bytes([UInt8])
    /// Named counts, sorted by the log.
    case counts([Count])

    package struct Count: Sendable, Equatable {
        package let key: String
        package let count: UInt64

        package init(key: String, count: UInt64) {
            self.key = key
            self.count = count
        }
    }

    /// Text when `bytes` are UTF-8, else the bytes: two inputs never become one record.
    package init(textOrBytes bytes: [UInt8]) {
        if let text = String(validating: bytes, as: UTF8.self) { self = .text(text) } else { self = .bytes(bytes) }
    }

    func append(to buffer: inout ByteBuffer, limit: Int, digest: ValueDigest?) -> Bool {
        switch self {
        case .int(let value): buffer.append(integer: value)
        case .text(let text): return buffer.append(bounded: text, limit: limit, digest: digest)
        case .flag(let flag): flag ? buffer.append("true") : buffer.append("false")
        case .bytes(let bytes) where bytes.count > limit:
            guard let digest else { return false }
            bytes.withUnsafeBytes { buffer.append(digestOf: $0, count: bytes.count, digest: digest) }
        case .bytes(let bytes):
            buffer.append(#"{"b64":""#)
            bytes.withUnsafeBytes { buffer.append(base64: $0) }
            buffer.append(#""}"#)
        case .counts(let counts):
            buffer.append(byte: 0x7b)
            for (index, entry) in counts.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }).enumerated()
            {
                if index > 0 { buffer.append(byte: 0x2c) }
                buffer.append(text: entry.key)
                buffer.append(byte: 0x3a)
                buffer.append(unsigned: entry.count)
            }
            buffer.append(byte: 0x7d)
        }
        return true
    }
}

/// What was acted upon. Never a secret value.
package struct AuditWhat: Sendable {
    /// A detail: its name is lower-case ASCII letters, digits and `_ . /`, unique in its record.
    package typealias Detail = (key: String, value: AuditValue)

    /// Connection id.
    package var connector: String?
    /// Mount and path without KV's `data/` infix.
    package var path: String?
    package var version: Int?
    package var lease: String?
    /// Names of the fields read, not values.
    package var fields: [String]
    /// To whom it went.
    package var recipient: String?
    /// For an unmatched or unauthenticated path: the mount when known…
    package var mount: String?
    /// …its keyed digest (``AuditLog/keyedDigest(_:domain:)``)…
    package var pathDigest: String?
    /// …and its length in bytes.
    package var pathLength: Int?
    /// Further facts of this operation, any order; the log sorts them.
    package var details: [Detail]

    package init(
        connector: String? = nil,
        path: String? = nil,
        version: Int? = nil,
        lease: String? = nil,
        fields: [String] = [],
        recipient: String? = nil,
        mount: String? = nil,
        pathDigest: String? = nil,
        pathLength: Int? = nil,
        details: [Detail] = []
    ) {
        self.connector = connector
        self.path = path
        self.version = version
        self.lease = lease
        self.fields = fields
        self.recipient = recipient
        self.mount = mount
        self.pathDigest = pathDigest
        self.pathLength = pathLength
        self.details = details
    }
}
