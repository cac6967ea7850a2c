internal import CoffreCrypto

/// Unambiguous input for the log's keyed digests: `len(domain) ‖ domain ‖ len(value) ‖ value`, lengths of 8 bytes,
/// big-endian. No two pairs of domain and value give the same input.
struct DigestInput {
    let domain: [UInt8]

    /// Values of records that are over their limit.
    static let value = DigestInput(domain: Array("record value".utf8))
    /// The table of subjects.
    static let subject = DigestInput(domain: Array("subject".utf8))

    init(domain: [UInt8]) { self.domain = domain }

    func digest(of bytes: UnsafeRawBufferPointer, key: HMACKey) -> Digest {
        key.authenticate { update in
            Self.lengthPrefix(domain.count).withUnsafeBytes { update($0) }
            domain.withUnsafeBytes { update($0) }
            Self.lengthPrefix(bytes.count).withUnsafeBytes { update($0) }
            update(bytes)
        }
    }

    static func lengthPrefix(_ count: Int) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: UInt64(count) >> (56 - 8 * UInt64($0))) }
    }
}
