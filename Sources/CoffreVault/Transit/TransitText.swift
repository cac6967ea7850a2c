internal import CoffreCrypto
internal import CoffreWire

/// The text forms of transit: `vault:v<version>:<base64>`, and what is said of a malformed one.
enum TransitText {
    case ciphertext, signature, hmac

    private static let prefix = "vault:v"

    static func make(_ version: Int64, _ bytes: [UInt8]) -> String { "\(prefix)\(version):\(Base64.encode(bytes))" }

    private var name: String {
        switch self {
        case .ciphertext: "invalid ciphertext"
        case .signature: "invalid signature"
        case .hmac: "invalid HMAC"
        }
    }

    /// The parts of `text`, whose version `key` has and may still decrypt or verify with.
    ///
    /// Strict: a version is a decimal number without sign and leading zeros, so that one ciphertext has one text.
    /// - Throws: ``VaultError`` `.badRequest`.
    func parse(_ text: String, _ key: TransitKey) throws(VaultError) -> (version: Int64, bytes: [UInt8]) {
        let text = text.utf8
        guard text.starts(with: Self.prefix.utf8) else {
            throw .badRequest(self == .hmac ? "invalid HMAC to verify: no prefix" : "\(name): no prefix")
        }
        let rest = text.dropFirst(Self.prefix.utf8.count)
        guard let colon = rest.firstIndex(of: 0x3a) else { throw .badRequest("\(name): wrong number of fields") }
        let digits = rest[..<colon]
        guard (1...19).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
            digits.first != 0x30 || digits.count == 1, let version = Int64(String(decoding: digits, as: UTF8.self))
        else { throw .badRequest("\(name): version number could not be decoded") }
        guard version <= key.latest else { throw .badRequest("\(name): version is too new") }
        guard version >= key.minimumDecryption, version >= key.first else {
            throw .badRequest(
                self == .hmac
                    ? "cannot verify HMAC: version is too old (disallowed by policy)"
                    : "ciphertext or signature version is disallowed by policy (too old)"
            )
        }
        // A file's last line break comes along with `ciphertext=@file`.
        let encoded = rest[rest.index(after: colon)...].filter { $0 != 0x0a && $0 != 0x0d }
        guard let bytes = Base64.decode(encoded) else {
            switch self {
            case .ciphertext: throw .badRequest("invalid ciphertext: could not decode base64")
            case .signature: throw .badRequest("invalid base64 signature value")
            case .hmac: throw .badRequest("unable to decode verification HMAC as base64: illegal base64 data")
            }
        }
        return (version, bytes)
    }
}

/// Base64 as transit's clients send it: standard, padded, line breaks allowed (RFC 4648 §4).
package enum TransitBase64 {
    /// What a base64 string stands for; an empty string stands for nothing.
    /// - Throws: ``VaultError`` `.badRequest`, with `prefix` before the reason.
    static func decode(_ view: JSONView, prefix: String) throws(VaultError) -> SharedSecret {
        // A number is taken by its text, as clients that guess at types need it.
        let isString = view.isString
        let text = SharedSecret(
            SecretBytes(count: isString ? view.stringCount ?? 0 : view.raw.count) { target in
                if isString { view.decodeString(into: target) } else { target.copyMemory(from: view.raw) }
            }
        )
        let decoded = text.withBytes { bytes -> Result<SharedSecret, VaultError> in
            let breaks = bytes.count { isBreak($0) }
            if bytes.count == breaks { return .success(SharedSecret(SecretBytes(count: 0) { _ in })) }
            if breaks == 0 { return decode(bytes, original: bytes, prefix) }
            let joined = SecretBytes(count: bytes.count - breaks) { target in
                var position = 0
                for byte in bytes where !isBreak(byte) {
                    target[position] = byte
                    position += 1
                }
            }
            return joined.withBytes { decode($0, original: bytes, prefix) }
        }
        return try decoded.get()
    }

    private static func decode(
        _ bytes: UnsafeRawBufferPointer,
        original: UnsafeRawBufferPointer,
        _ prefix: String
    ) -> Result<SharedSecret, VaultError> {
        guard let secret = Base64.decodeSecret(bytes) else {
            return .failure(.badRequest("\(prefix)illegal base64 data at input byte \(firstFault(original))"))
        }
        return .success(SharedSecret(secret))
    }

    private static func isBreak(_ byte: UInt8) -> Bool { byte == 0x0a || byte == 0x0d }

    /// Where a decoder that reads group by group stops: the offset that Vault's clients know from Go.
    package static func firstFault(_ text: some RandomAccessCollection<UInt8>) -> Int {
        var inGroup = 0
        var position = 0
        for byte in text {
            defer { position += 1 }
            switch byte {
            case 0x41...0x5a, 0x61...0x7a, 0x30...0x39, 0x2b, 0x2f: inGroup = (inGroup + 1) % 4
            case 0x0a, 0x0d: continue
            case 0x3d where inGroup >= 2: return padding(text, at: position, inGroup)
            default: return position
            }
        }
        return position - inGroup
    }

    /// The same, from the first `=` on.
    private static func padding(_ text: some RandomAccessCollection<UInt8>, at first: Int, _ inGroup: Int) -> Int {
        var next = first + 1
        func skipBreaks() {
            while next < text.count, isBreak(text[text.index(text.startIndex, offsetBy: next)]) { next += 1 }
        }
        if inGroup == 2 {
            skipBreaks()
            guard next < text.count else { return text.count }
            guard text[text.index(text.startIndex, offsetBy: next)] == 0x3d else { return next - 1 }
            next += 1
        }
        skipBreaks()
        // Nothing is left: the last character carries bits that stand for nothing.
        return next < text.count ? next : first - 1
    }
}
