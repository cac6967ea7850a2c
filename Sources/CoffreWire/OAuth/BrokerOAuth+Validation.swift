extension BrokerOAuth {
    /// What the broker itself writes: no parameter may have these names.
    private static let ownParameters = [
        "grant_type", "client_id", "client_secret", "code", "code_verifier", "refresh_token", "device_code",
        "assertion", "client_assertion", "client_assertion_type", "oauth_consumer_key", "oauth_token",
        "oauth_signature_method", "oauth_signature",
        "oauth_timestamp", "oauth_nonce", "oauth_verifier", "oauth_version",
    ]
    /// What the broker, or HTTP itself, writes: no header may have these names.
    private static let ownHeaders = [
        "accept-encoding", "authorization", "connection", "content-length", "content-type", "cookie", "expect", "host",
        "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    ]

    /// Checks every field against its limit and the fields against each other.
    /// - Throws: ``BrokerWireError`` `.tooLong`, `.wrongLength`, `.invalidField`.
    public func validate() throws(BrokerWireError) {
        guard target.scheme == .https else { throw Self.invalid("an OAuth provider is spoken to by https") }
        for text in [clientID, grantType].compactMap(\.self) { try Self.check(value: text, 1...Limit.value) }
        if let grantParameter { try Self.check(name: grantParameter) }
        try Self.check(pairs: parameters, atMost: Limit.parameters, besides: Self.ownParameters)
        guard !parameters.contains(where: { $0.name.utf8.elementsEqual(carrier.utf8) }) else {
            throw Self.invalid("a parameter has the name of the secret's own")
        }
        try validateHeaders()
        try validateShape()
        guard (assertion != nil) == (kind == .jwtBearer || authentication == .assertion),
            kind != .jwtBearer || authentication != .assertion
        else { throw Self.invalid("an assertion belongs to its own kind of job, or proves the client") }
        try assertion?.validate()
        for path in [tokenObject].compactMap(\.self) + learns.map(\.value) { try Self.check(path: path) }
        guard learns.count <= Limit.learns else { throw BrokerWireError(.tooLong, "too many values to learn") }
        for learn in learns { try Self.check(name: learn.name) }
        guard Quirks.all.isSuperset(of: quirks) else { throw Self.invalid("unknown quirk") }
        for certificate in [rootCertificate, clientCertificate].compactMap(\.self)
        where !(1...BrokerJob.Limit.certificate).contains(certificate.count) {
            throw BrokerWireError(.tooLong, "a certificate is empty or above 128 KiB")
        }
        guard publicKey.count == 32 else { throw BrokerWireError(.wrongLength, "a public key has 32 bytes") }
        guard (1...BrokerJob.Limit.timeoutSeconds).contains(timeoutSeconds) else {
            throw Self.invalid("a time-out is 1 to 600 seconds")
        }
    }

    private func validateShape() throws(BrokerWireError) {
        let isCall = kind == .revoke || kind == .probe
        guard isCall || method == .post && body != .none && tokenPlace == .parameter else {
            throw Self.invalid("tokens are asked for by POST, with parameters")
        }
        guard
            body != .none
                || tokenPlace != .parameter && parameters.isEmpty && authentication != .post
                    && authentication != .assertion
        else { throw Self.invalid("a request without parameters has none") }
        guard method != .get || body == .none else { throw Self.invalid("a GET has no body") }
        guard tokenPlace == .signed || target.path.contains("{token}") == (tokenPlace == .address) else {
            throw Self.invalid("the address holds {token} exactly when the token goes there")
        }
        guard tokenPlace != .signed || clientID != nil && authentication == .none && body == .none else {
            throw Self.invalid("a signed call has a consumer key and no parameters, and is its own proof")
        }
        let usesBearer = isCall && tokenPlace == .bearer
        guard !usesBearer || ![.basic, .basicAlone].contains(authentication) else {
            throw Self.invalid("there is one authorization of a request")
        }
        guard authentication == .none || clientID != nil else {
            throw Self.invalid("a client that proves itself has an id")
        }
        guard kind.isFirst else { return }
        guard clientID != nil, authentication == .none, body == .form else {
            throw Self.invalid("OAuth 1.0a has a consumer key, and its own proof")
        }
        guard !target.path.contains("?") else { throw Self.invalid("an address of OAuth 1.0a has no query here") }
    }

    private func validateHeaders() throws(BrokerWireError) {
        guard headers.count <= Limit.headers else { throw BrokerWireError(.tooLong, "too many headers") }
        for header in headers {
            guard (1...Limit.name).contains(header.name.utf8.count),
                header.name.utf8.allSatisfy({ (48...57).contains($0) || (97...122).contains($0) || $0 == 0x2d })
            else { throw Self.invalid("a header's name is lower-case letters, digits and hyphens") }
            guard !Self.ownHeaders.contains(header.name) else { throw Self.invalid("this header is the broker's own") }
            guard (1...Limit.header).contains(header.value.utf8.count),
                header.value.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
            else { throw Self.invalid("a header's text is printable ASCII, at most 512 bytes") }
        }
    }

    /// The parameter that carries ``Secret/grant``.
    public var carrier: String {
        if let grantParameter { return grantParameter }
        return switch kind {
        case .exchange: "code"
        case .refresh: "refresh_token"
        case .devicePoll: "device_code"
        case .revoke, .probe: "token"
        case .jwtBearer: "assertion"
        case .requestToken, .accessToken: "oauth_token"
        case .clientCredentials, .deviceStart: ""
        }
    }

    /// The secrets that must be lent, and those that may be.
    public var secrets: (required: Set<Secret>, optional: Set<Secret>) {
        var required: Set<Secret> = []
        var optional: Set<Secret> = []
        switch kind {
        case .exchange:
            required.insert(.grant)
            optional.insert(.verifier)
        case .refresh, .devicePoll, .revoke, .probe: required.insert(.grant)
        case .jwtBearer: required.insert(.privateKey)
        case .clientCredentials, .deviceStart: break
        case .requestToken: required.insert(.clientSecret)
        case .accessToken: required.formUnion([.clientSecret, .grant, .tokenSecret, .verifier])
        }
        if authentication == .basic || authentication == .post { required.insert(.clientSecret) }
        if authentication == .assertion { required.insert(.privateKey) }
        if tokenPlace == .signed { required.formUnion([.clientSecret, .tokenSecret]) }
        if clientCertificate != nil { required.insert(.certificateKey) }
        return (required, optional)
    }

    func check(_ lent: [Secret: UnsafeRawBufferPointer]) throws(BrokerWireError) {
        let (required, optional) = secrets
        let given = Set(lent.keys)
        guard required.isSubset(of: given), given.isSubset(of: required.union(optional)) else {
            throw Self.invalid("a secret of the job is missing, or one too many")
        }
        for (secret, bytes) in lent {
            guard (1...secret.maximumBytes).contains(bytes.count) else {
                throw BrokerWireError(.tooLong, "a secret of the job is empty or too long")
            }
            let isText = secret != .privateKey && secret != .certificateKey
            // VSCHAR of RFC 6749, appendix A: what can stand in forms and headers.
            guard isText ? bytes.allSatisfy({ (0x20...0x7e).contains($0) }) : !bytes.contains(0) else {
                throw Self.invalid("a secret of the job holds a character that it must not")
            }
        }
    }

    static func check(value: String, _ range: ClosedRange<Int>) throws(BrokerWireError) {
        try BrokerText.check(value, range)
        guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw invalid("a text of the job holds a control character")
        }
    }

    /// Letters, digits and `_ - .`, at most 64.
    static func check(name: String) throws(BrokerWireError) {
        guard (1...Limit.name).contains(name.utf8.count), name.utf8.allSatisfy(isNameCharacter) else {
            throw invalid("a name is 1 to 64 letters, digits and _ - .")
        }
    }

    /// Steps of letters, digits, `_` and `-`, or `*` for each element of a list, with dots between.
    static func check(path: String) throws(BrokerWireError) {
        let steps = path.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...Limit.path).contains(path.utf8.count), steps.count <= 8,
            steps.allSatisfy({ $0.utf8.elementsEqual("*".utf8) || !$0.isEmpty && $0.utf8.allSatisfy(isNameCharacter) }),
            steps.filter({ $0.utf8.elementsEqual("*".utf8) }).count <= 1
        else { throw invalid("a path is names with dots between, at most one of them *") }
    }

    static func check(pairs: [Pair], atMost limit: Int, besides own: [String]) throws(BrokerWireError) {
        guard pairs.count <= limit else { throw BrokerWireError(.tooLong, "too many parameters") }
        var seen = Set(own.map { Array($0.utf8) })
        for pair in pairs {
            try check(name: pair.name)
            try check(value: pair.value, 0...Limit.value)
            guard seen.insert(Array(pair.name.utf8)).inserted else {
                throw invalid("a parameter is there twice, or is the broker's own")
            }
        }
    }

    private static func isNameCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
        default: false
        }
    }

    static func invalid(_ message: String) -> BrokerWireError { BrokerWireError(.invalidField, message) }
}
