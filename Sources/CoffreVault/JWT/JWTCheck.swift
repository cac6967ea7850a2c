internal import CoffreCrypto
internal import CoffreWire

/// Who a token says that its bearer is, after every check.
struct JWTPerson: Sendable {
    /// The name by which the mount knows the person: what `user_claim` says.
    let alias: String
    /// What `groups_claim` says; empty without one.
    let groups: [String]
    /// What `claim_mappings` takes over.
    let metadata: [String: String]
    /// Seconds since 1970: from then on the token counts no more, leeway included.
    let endsAt: Int64
    /// What tells this token from others: its issuer and `jti`, or else what was signed. Never the signature, of which there is more
    /// than one for the same text.
    let identity: SharedSecret
    /// For which clients of the provider it was made: `aud`, and `azp` where there is one.
    let clients: [String]
    /// Seconds since 1970; nil when the token does not say.
    let issuedAt: Int64?
}

/// The rules by which tokens are believed: the keys and issuer of a mount, and one of its roles.
struct JWTCheck {
    /// How old a token may be that a service shows for a person, in seconds.
    static let maximumAge: Int64 = 600
    static let maximumGroups = 512

    let keys: [JWTKey]
    /// Empty for any.
    let algorithms: Set<JWTAlgorithmName>
    let issuer: String?
    let role: JWTRole

    /// - Throws: ``JWTRefusal``.
    func person(of token: JWTToken, now: Timestamp) throws(JWTRefusal) -> JWTPerson {
        guard algorithms.isEmpty || algorithms.contains(token.algorithm) else {
            throw JWTRefusal("the token's algorithm \(token.algorithm.rawValue) is not one of jwt_supported_algs")
        }
        try checkSignature(token)
        let claims = token.claims
        // A security event, such as a logout (RFC 8417 §2.2): it says what happened to somebody, not who asks.
        guard claims["events"] == nil else { throw JWTRefusal("the token tells of an event and is no login") }
        if let issuer {
            guard let text = claims["iss"]?.string, text.utf8.elementsEqual(issuer.utf8) else {
                throw JWTRefusal("invalid issuer (iss) claim")
            }
        }
        let end = try checkTimes(claims, now)
        try checkAudience(claims)
        if !role.boundSubject.isEmpty {
            guard let text = claims["sub"]?.string, text.utf8.elementsEqual(role.boundSubject.utf8) else {
                throw JWTRefusal("invalid subject (sub) claim")
            }
        }
        try checkBoundClaims(claims)
        return JWTPerson(
            alias: try alias(claims),
            groups: try groups(claims),
            metadata: try metadata(claims),
            endsAt: end,
            identity: identity(token),
            clients: (try Self.texts(claims["aud"], "aud") ?? []) + [claims["azp"]?.string].compactMap(\.self),
            issuedAt: try Self.seconds(claims["iat"], "iat")
        )
    }

    /// What counts besides for a token that a service shows: made for that service's client alone, by the provider, just now.
    /// - Throws: ``JWTRefusal``.
    func checkShown(_ token: JWTToken, now: Timestamp) throws(JWTRefusal) {
        // OpenID Connect Core §2; an access token (RFC 9068) or a logout token is none.
        guard token.type == nil || token.type == "jwt" else { throw JWTRefusal("the token is not an ID token") }
        guard issuer != nil else {
            throw JWTRefusal("the configuration has no bound_issuer: whose tokens these are is not known")
        }
        guard !role.boundAudiences.isEmpty else {
            throw JWTRefusal("the role of the service has no bound_audiences: they name the client registered for it")
        }
        let audience = try Self.texts(token.claims["aud"], "aud") ?? []
        // §3.1.3.7: no audience that is not trusted, and an authorized party that is the client.
        guard !audience.isEmpty, audience.allSatisfy(isBound) else { throw JWTRefusal("invalid audience (aud) claim") }
        if let party = token.claims["azp"] {
            guard let party = party.string, isBound(party) else {
                throw JWTRefusal("invalid authorized party (azp) claim")
            }
        }
        guard let issued = try Self.seconds(token.claims["iat"], "iat") else {
            throw JWTRefusal("the token does not say when it was issued (iat)")
        }
        guard now.seconds - issued <= Self.maximumAge else {
            throw JWTRefusal("the token was issued more than \(Self.maximumAge / 60) minutes ago: get a new one")
        }
    }

    private func isBound(_ audience: String) -> Bool {
        role.boundAudiences.contains { $0.utf8.elementsEqual(audience.utf8) }
    }

    // MARK: signature

    /// The key that the token names, or else, for keys without a name, each that fits the algorithm.
    private func checkSignature(_ token: JWTToken) throws(JWTRefusal) {
        let fitting = keys.filter { $0.fits(token.algorithm) }
        var candidates = fitting
        if let kid = token.kid {
            candidates = fitting.filter { $0.kid.map { $0.utf8.elementsEqual(kid.utf8) } ?? false }
            if candidates.isEmpty { candidates = fitting.filter { $0.kid == nil } }
            let isKnown = keys.contains { $0.kid.map { $0.utf8.elementsEqual(kid.utf8) } ?? false }
            guard !candidates.isEmpty || isKnown else {
                throw JWTRefusal("no accepted key has the kid of this token", unknownKey: kid)
            }
        }
        guard !candidates.isEmpty else { throw JWTRefusal("no accepted key is for the algorithm of this token") }
        guard candidates.contains(where: { $0.verifies(token) }) else { throw JWTRefusal("invalid signature") }
    }

    // MARK: times

    /// - Returns: the first second in which the token has expired, leeway included.
    private func checkTimes(_ claims: JSONValue, _ now: Timestamp) throws(JWTRefusal) -> Int64 {
        guard let expires = try Self.seconds(claims["exp"], "exp") else {
            throw JWTRefusal("the token does not say when it expires (exp)")
        }
        let leeway = role.skew
        let end = expires + leeway
        guard now.seconds < end else { throw JWTRefusal("invalid expiration time (exp) claim: token is expired") }
        if let start = try Self.seconds(claims["nbf"], "nbf"),
            now.seconds < start - leeway
        {
            throw JWTRefusal("invalid not before (nbf) claim: token not yet valid")
        }
        if let issued = try Self.seconds(claims["iat"], "iat"), now.seconds < issued - leeway {
            throw JWTRefusal("invalid issued at (iat) claim: token issued in the future")
        }
        return end
    }

    /// A NumericDate (RFC 7519 §2), whole seconds; a fraction is cut off.
    private static func seconds(_ value: JSONValue?, _ name: String) throws(JWTRefusal) -> Int64? {
        guard let value else { return nil }
        guard case .number(let digits) = value, digits.utf8.count <= 32, let number = Double(digits),
            number.magnitude <= 9_007_199_254_740_991
        else { throw JWTRefusal("the claim \(name) is not a time") }
        return Int64(number.rounded(.down))
    }

    // MARK: claims

    private func checkAudience(_ claims: JSONValue) throws(JWTRefusal) {
        let audience = try Self.texts(claims["aud"], "aud") ?? []
        if role.boundAudiences.isEmpty {
            guard audience.isEmpty else {
                throw JWTRefusal("audience claim found in JWT but no audiences bound to the role")
            }
            return
        }
        guard audience.contains(where: isBound) else {
            throw JWTRefusal("invalid audience (aud) claim: audience claim does not match any expected audience")
        }
    }

    /// A text, or an array of texts.
    private static func texts(_ value: JSONValue?, _ name: String) throws(JWTRefusal) -> [String]? {
        guard let value else { return nil }
        if let text = value.string { return [text] }
        guard let values = value.array else { throw JWTRefusal("the claim \(name) is not a text or a list of texts") }
        let texts = values.compactMap(\.string)
        guard texts.count == values.count else { throw JWTRefusal("the claim \(name) holds what is not a text") }
        return texts
    }

    private func checkBoundClaims(_ claims: JSONValue) throws(JWTRefusal) {
        for bound in role.boundClaims {
            guard let actual = Self.claim(bound.key, claims) else {
                throw JWTRefusal("claim \"\(bound.key)\" is missing")
            }
            let values = actual.array ?? [actual]
            let wanted = bound.value.array ?? [bound.value]
            guard values.contains(where: { value in wanted.contains { matches(value, $0) } }) else {
                throw JWTRefusal("claim \"\(bound.key)\" does not match any associated bound claim values")
            }
        }
    }

    private func matches(_ value: JSONValue, _ wanted: JSONValue) -> Bool {
        switch (value, wanted) {
        case (.string(let text), .string(let pattern)):
            role.comparesByGlob ? JWTGlob.matches(pattern, text) : text.utf8.elementsEqual(pattern.utf8)
        case (.bool(let one), .bool(let other)): one == other
        case (.number(let one), .number(let other)): one == other
        default: false
        }
    }

    /// A claim by its name, or by a JSON pointer (RFC 6901) when that begins with a slash.
    static func claim(_ name: String, _ claims: JSONValue) -> JSONValue? {
        guard name.hasPrefix("/") else { return claims[name].flatMap { $0 == .null ? nil : $0 } }
        var value = claims
        for part in name.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            let key = String(part).replacing("~1", with: "/").replacing("~0", with: "~")
            if let values = value.array {
                guard let index = Int(key), values.indices.contains(index) else { return nil }
                value = values[index]
            } else {
                guard let next = value[key] else { return nil }
                value = next
            }
        }
        return value == .null ? nil : value
    }

    private func alias(_ claims: JSONValue) throws(JWTRefusal) -> String {
        guard let value = Self.claim(role.userClaim, claims) else {
            throw JWTRefusal("claim \"\(role.userClaim)\" not found in token")
        }
        guard let name = value.string else {
            throw JWTRefusal("claim \"\(role.userClaim)\" could not be converted to string")
        }
        guard Self.isName(name) else {
            throw JWTRefusal("claim \"\(role.userClaim)\" is not a name of 1 to 256 bytes without control characters")
        }
        return name
    }

    /// What may be the name of a person or team: nothing that a terminal or a line would take for something else.
    static func isName(_ name: String) -> Bool {
        (1...256).contains(name.utf8.count)
            && name.unicodeScalars.allSatisfy { scalar in
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: false
                default: true
                }
            }
    }

    private func groups(_ claims: JSONValue) throws(JWTRefusal) -> [String] {
        guard !role.groupsClaim.isEmpty else { return [] }
        guard let value = Self.claim(role.groupsClaim, claims) else {
            throw JWTRefusal("claim \"\(role.groupsClaim)\" not found in token")
        }
        let names = try Self.texts(value, role.groupsClaim) ?? []
        guard names.count <= Self.maximumGroups, names.allSatisfy(Self.isName) else {
            throw JWTRefusal("claim \"\(role.groupsClaim)\" is not a list of at most \(Self.maximumGroups) names")
        }
        return names
    }

    private func metadata(_ claims: JSONValue) throws(JWTRefusal) -> [String: String] {
        var result: [String: String] = [:]
        for (claim, key) in role.claimMappings {
            guard let value = Self.claim(claim, claims) else { continue }
            let text: String
            switch value {
            case .string(let string): text = string
            case .bool(let flag): text = flag ? "true" : "false"
            case .number(let digits): text = digits
            default: throw JWTRefusal("error converting claim \"\(claim)\" to string")
            }
            guard text.utf8.count <= 512, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                throw JWTRefusal("claim \"\(claim)\" is not a text of up to 512 bytes without control characters")
            }
            result[key] = text
        }
        return result
    }

    private func identity(_ token: JWTToken) -> SharedSecret {
        if let id = token.claims["jti"]?.string, (1...1024).contains(id.utf8.count) {
            // Behind the issuer's length nothing of one issuer looks like something of another.
            let issuer = Array((token.claims["iss"]?.string ?? "").utf8)
            return SharedSecret(copying: Array("jti:\(issuer.count):".utf8) + issuer + Array(id.utf8))
        }
        return token.signed.withBytes { SharedSecret(copying: Array("txt:".utf8) + Array($0)) }
    }
}

/// Patterns in which `*` stands for any text, anywhere and any number of times.
enum JWTGlob {
    /// In time proportional to the product of both lengths at worst; both are bounded.
    static func matches(_ pattern: String, _ text: String) -> Bool {
        let (pattern, text) = (Array(pattern.utf8), Array(text.utf8))
        var (p, t) = (0, 0)
        var mark: (p: Int, t: Int)?
        while t < text.count {
            if p < pattern.count, pattern[p] == 0x2a {
                mark = (p, t)
                p += 1
            } else if p < pattern.count, pattern[p] == text[t] {
                p += 1
                t += 1
            } else if let last = mark {
                mark = (last.p, last.t + 1)
                (p, t) = (last.p + 1, last.t + 1)
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == 0x2a }
    }
}
