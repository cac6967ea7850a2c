package import CoffreCrypto

/// PostgreSQL's stored form of a password, so that the password itself reaches no server log.
///
/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5802 §3, RFC 7677; PostgreSQL, "pg_authid").
package enum ScramVerifier {
    package static let iterations = 4096

    /// - Parameter password: printable ASCII, so that SASLprep leaves it as it is.
    package static func make(password: SharedSecret, salt: [UInt8] = Random.bytes(16)) throws(CryptoError) -> String {
        let salted = try password.withSecret { password throws(CryptoError) in
            try KeyDerivation.pbkdf2(password: password, salt: salt, iterations: iterations)
        }
        let key = HMACKey(salted)
        let clientKey = key.authenticate(Array("Client Key".utf8))
        let storedKey = clientKey.withUnsafeBytes { SHA256.hash($0) }
        let serverKey = key.authenticate(Array("Server Key".utf8))
        return "SCRAM-SHA-256$\(iterations):\(Base64.encode(salt))$\(Base64.encode(storedKey.bytes)):"
            + Base64.encode(serverKey.bytes)
    }
}
