internal import CoffreCrypto
internal import CoffreWire

/// A request that OAuth 1.0a signs by HMAC-SHA1 (RFC 5849 §3). No input or output.
struct OAuthFirst {
    /// The `Authorization` header (§3.5.1).
    let authorization: String
    /// Parameters that are not of the protocol, as a form; empty when there are none.
    let body: [UInt8]

    /// - Parameter path: of the request, with its query, as it goes out.
    /// - Throws: ``CryptoError`` `.libraryFailure`.
    init(_ view: BrokerOAuthView, path: String, now: Int64, nonce: String) throws(CryptoError) {
        let job = view.job
        var own = OAuthParameters()
        own.append("oauth_consumer_key", job.clientID)
        own.append("oauth_nonce", nonce)
        own.append("oauth_signature_method", "HMAC-SHA1")
        own.append("oauth_timestamp", "\(now)")
        own.append("oauth_token", secret: view.secrets[.grant])
        own.append("oauth_verifier", secret: view.secrets[.verifier])
        var others = OAuthParameters()
        for pair in job.parameters {
            if pair.name.hasPrefix("oauth_") {
                own.append(pair.name, pair.value)
            } else {
                others.append(pair.name, pair.value)
            }
        }
        body = others.encoded(as: .form) ?? []
        let base = Self.base(Self.name(job.method), job.target, path: path, own.items + others.items)
        let halves = [BrokerOAuth.Secret.clientSecret, .tokenSecret].map { secret in
            view.secrets[secret].map { PercentEncoding.encode($0) } ?? []
        }
        let key = halves[0] + [0x26] + halves[1]
        let tag = try SharedSecret(copying: base).withBytes { base throws(CryptoError) in
            try SharedSecret(copying: key).withBytes { key throws(CryptoError) in
                try HMACSHA1.authenticate(base, key: key)
            }
        }
        own.append("oauth_signature", Base64.encode(tag))
        let parts = own.items.map { item in
            "\(item.name)=\"\(String(decoding: PercentEncoding.encode(item.value), as: UTF8.self))\""
        }
        authorization = "OAuth " + parts.joined(separator: ", ")
    }

    private static func name(_ method: BrokerOAuth.Method) -> String {
        switch method {
        case .post: "POST"
        case .get: "GET"
        case .delete: "DELETE"
        }
    }

    /// The signature base string (§3.4.1). What stands in the query of `path` counts among the parameters.
    static func base(
        _ method: String,
        _ target: WebTarget,
        path: String,
        _ items: [(name: String, value: [UInt8])]
    ) -> [UInt8] {
        let halves = path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let query = halves.count == 2 ? PercentEncoding.pairs(halves[1].utf8) : []
        let encoded =
            query.map { (PercentEncoding.encode($0.name), PercentEncoding.encode($0.value)) }
            + items.map { (PercentEncoding.encode($0.name.utf8), PercentEncoding.encode($0.value)) }
        let sorted = encoded.sorted { left, right in
            left.0 == right.0
                ? left.1.lexicographicallyPrecedes(right.1) : left.0.lexicographicallyPrecedes(right.0)
        }
        let parameters = Array(sorted.map { $0.0 + [0x3d] + $0.1 }.joined(separator: [0x26]))
        // Scheme and host in lower case, the port only when it is not the scheme's own (§3.4.1.2).
        let address = target.place.lowercased() + halves[0]
        return Array(method.utf8) + [0x26] + PercentEncoding.encode(address.utf8) + [0x26]
            + PercentEncoding.encode(parameters)
    }
}
