package import CoffreCrypto

/// How the root key is protected.
package enum SealType: UInt8, Sendable, CaseIterable {
    case shamir = 1
    case credential = 2

    /// As in configuration and status.
    package var name: String {
        switch self {
        case .shamir: "shamir"
        case .credential: "credential"
        }
    }
}

/// What a sealed vault knows of itself: in clear, but authenticated by every unwrapping of the root key.
///
/// format(1) ‖ vault id(16) ‖ type(1) ‖ shares(1) ‖ threshold(1) ‖ recovery shares(1) ‖ recovery threshold(1) ‖
/// root key wrapped by the unseal key(60) ‖ root key wrapped by the recovery key(60, only with recovery shares).
/// A wrap is nonce(12) ‖ ciphertext(32) ‖ tag(16), AES-256-GCM under HKDF-Expand(key, "coffre seal wrap v1"), and its AAD is
/// "coffre seal record v1" ‖ the 22 bytes before the wraps ‖ purpose(1).
package struct SealRecord: Sendable, Equatable {
    /// Which key wraps the root key.
    package enum Purpose: UInt8, Sendable {
        case unseal = 1
        case recovery = 2
    }

    private static let format: UInt8 = 1
    private static let headBytes = 22
    private static let wrapBytes = 60
    package static let keyBytes = 32

    /// 16 bytes.
    package let vaultID: [UInt8]
    package let type: SealType
    /// Shares of the unseal key and how many are needed; 1 and 1 for a credential, which nobody gets a share of.
    package let shares: Int
    package let threshold: Int
    /// Shares of the recovery key; 0 and 0 without one.
    package let recoveryShares: Int
    package let recoveryThreshold: Int
    private var unsealWrap: [UInt8] = []
    private var recoveryWrap: [UInt8] = []

    /// Wraps `rootKey` (32 bytes) by the unseal key and, when there is one, the recovery key (32 bytes each).
    /// - Throws: ``CryptoError`` `.invalidLength`, `.libraryFailure`.
    package init(
        vaultID: [UInt8],
        type: SealType,
        shares: Int,
        threshold: Int,
        recoveryShares: Int,
        recoveryThreshold: Int,
        rootKey: borrowing SecretBytes,
        unsealKey: borrowing SecretBytes,
        recoveryKey: SharedSecret?
    ) throws(CryptoError) {
        precondition(
            vaultID.count == 16 && (recoveryKey == nil) == (recoveryShares == 0),
            "a contradictory seal record"
        )
        self.vaultID = vaultID
        self.type = type
        self.shares = shares
        self.threshold = threshold
        self.recoveryShares = recoveryShares
        self.recoveryThreshold = recoveryThreshold
        unsealWrap = try wrap(rootKey, by: unsealKey, as: .unseal)
        if let recoveryKey {
            let head = self
            recoveryWrap = try recoveryKey.withSecret { key throws(CryptoError) in
                try head.wrap(rootKey, by: key, as: .recovery)
            }
        }
    }

    /// Reads exactly what `encoded` gives; nil for anything else.
    package init?(decoding bytes: [UInt8]) {
        guard bytes.count >= Self.headBytes + Self.wrapBytes, bytes[0] == Self.format,
            let type = SealType(rawValue: bytes[17])
        else { return nil }
        self.type = type
        vaultID = Array(bytes[1..<17])
        (shares, threshold) = (Int(bytes[18]), Int(bytes[19]))
        (recoveryShares, recoveryThreshold) = (Int(bytes[20]), Int(bytes[21]))
        let hasRecovery = recoveryShares > 0 || recoveryThreshold > 0
        guard Shamir.isValid(shares: shares, threshold: threshold),
            !hasRecovery || Shamir.isValid(shares: recoveryShares, threshold: recoveryThreshold),
            bytes.count == Self.headBytes + Self.wrapBytes * (hasRecovery ? 2 : 1)
        else { return nil }
        unsealWrap = Array(bytes[Self.headBytes..<Self.headBytes + Self.wrapBytes])
        recoveryWrap = Array(bytes[(Self.headBytes + Self.wrapBytes)...])
    }

    private var head: [UInt8] {
        [Self.format] + vaultID
            + [type.rawValue, UInt8(shares), UInt8(threshold), UInt8(recoveryShares), UInt8(recoveryThreshold)]
    }

    package var encoded: [UInt8] { head + unsealWrap + recoveryWrap }

    /// The root key; nil when `key` is not the one of this record, or the record was changed.
    package func unwrap(_ key: borrowing SecretBytes, as purpose: Purpose) -> SecretBytes? {
        let wrap = purpose == .unseal ? unsealWrap : recoveryWrap
        guard key.count == Self.keyBytes, wrap.count == Self.wrapBytes, let cipher = try? Self.cipher(key) else {
            return nil
        }
        return try? SecretBytes.key(count: Self.keyBytes) { target throws(CryptoError) in
            try wrap.withOctets { wrap throws(CryptoError) in
                try aad(purpose).withOctets { aad throws(CryptoError) in
                    try cipher.decrypt(
                        UnsafeRawBufferPointer(rebasing: wrap[12...]),
                        nonce: UnsafeRawBufferPointer(rebasing: wrap[..<12]),
                        aad: aad,
                        into: target
                    )
                }
            }
        }
    }

    private func wrap(
        _ rootKey: borrowing SecretBytes,
        by key: borrowing SecretBytes,
        as purpose: Purpose
    ) throws(CryptoError) -> [UInt8] {
        guard key.count == Self.keyBytes, rootKey.count == Self.keyBytes else {
            throw CryptoError(.invalidLength, "root, unseal and recovery keys have 32 bytes")
        }
        let cipher = try Self.cipher(key)
        var wrap = Random.bytes(Self.wrapBytes)
        try rootKey.withBytes { rootKey throws(CryptoError) in
            try wrap.withMutableOctets { wrap throws(CryptoError) in
                try aad(purpose).withOctets { aad throws(CryptoError) in
                    try cipher.encrypt(
                        rootKey,
                        nonce: UnsafeRawBufferPointer(rebasing: wrap[..<12]),
                        aad: aad,
                        into: UnsafeMutableRawBufferPointer(rebasing: wrap[12...])
                    )
                }
            }
        }
        return wrap
    }

    private func aad(_ purpose: Purpose) -> [UInt8] {
        Array("coffre seal record v1".utf8) + head + [purpose.rawValue]
    }

    private static func cipher(_ key: borrowing SecretBytes) throws(CryptoError) -> AESGCM {
        try AESGCM(key: KeyDerivation.subkey(from: key, context: "coffre seal wrap v1"))
    }
}
