import CoffreWire

extension ConnectorOAuth {
    /// - Throws: ``CatalogueError``.
    init(reading value: JSONValue, at place: String) throws(CatalogueError) {
        let reader = try MemberReader(
            value,
            at: place,
            [
                "authorization_url", "token_url", "revocation_url", "device_url", "request_token_url",
                "signature_method", "pkce", "client_authentication", "scope_separator", "scopes", "parameters",
                "access_token_seconds", "refresh_idle_seconds", "grant_seconds", "refresh_rotates",
                "refresh_grace_seconds", "learns", "quirks",
            ],
            optional: ["assertion", "client_key", "headers"]
        )
        authorizationURL = try Self.address("authorization_url", reader)
        tokenURL = try Self.address("token_url", reader) ?? ""
        revocationURL = try Self.address("revocation_url", reader)
        deviceURL = try Self.address("device_url", reader)
        requestTokenURL = try Self.address("request_token_url", reader)
        signatureMethod = try reader.textOrNull("signature_method")
        pkce = try reader.word("pkce", PKCE.self)
        clientAuthentication =
            reader.value("client_authentication") == .null
            ? nil : try reader.word("client_authentication", ClientAuthentication.self)
        scopeSeparator = try reader.text("scope_separator")
        scopes = try reader.texts("scopes")
        parameters = try reader.pairs("parameters", separator: "_")
        headers = reader.value("headers") == nil ? [] : try reader.pairs("headers", separator: "-")
        accessTokenSeconds = try reader.secondsOrNull("access_token_seconds")
        refreshIdleSeconds = try reader.secondsOrNull("refresh_idle_seconds")
        grantSeconds = try reader.secondsOrNull("grant_seconds")
        refreshRotates = try reader.boolOrNull("refresh_rotates")
        refreshGraceSeconds = try reader.secondsOrNull("refresh_grace_seconds")
        learns = try Self.learns(reader)
        assertion = try Self.assertion(reader)
        clientKey = reader.value("client_key") == nil ? nil : try reader.identifier("client_key", separator: "_")
        quirks = try reader.texts("quirks")
        guard !tokenURL.isEmpty else { throw reader.failure("token_url", "is missing") }
        guard [" ", ","].contains(scopeSeparator) else { throw reader.failure("scope_separator", "is unknown") }
        guard quirks == quirks.sorted() else { throw reader.failure("quirks", "must be sorted") }
        let isFirst = requestTokenURL != nil
        guard (signatureMethod != nil) == isFirst, (clientAuthentication == nil) == isFirst else {
            throw reader.failure("request_token_url", "OAuth 1.0a and OAuth 2 are mixed")
        }
    }

    /// The addresses that are known.
    var addresses: [String] {
        let calls = learns.filter { $0.source == .call }.map(\.member)
        return [authorizationURL, tokenURL, revocationURL, deviceURL, requestTokenURL, assertion?.audience]
            .compactMap(\.self) + calls
    }

    /// The fields that are spoken of by name.
    var namedFields: [String] {
        [assertion?.key, assertion?.issuer, assertion?.subject, clientKey].compactMap(\.self)
            + learns.compactMap(\.field)
    }

    /// An address under TLS; nil for `null`.
    private static func address(_ name: String, _ reader: MemberReader) throws(CatalogueError) -> String? {
        guard let text = try reader.textOrNull(name) else { return nil }
        guard text.utf8.starts(with: "https://".utf8), !text.utf8.contains(0x20) else {
            throw reader.failure(name, "must be an https address")
        }
        return text
    }

    private static func learns(_ reader: MemberReader) throws(CatalogueError) -> [Learnt] {
        var learns: [Learnt] = []
        for (value, place) in try reader.elements("learns") {
            let reader = try MemberReader(
                value,
                at: place,
                ["name", "from", "member"],
                optional: ["path", "title", "field"]
            )
            func optional(_ name: String) throws(CatalogueError) -> String? {
                reader.value(name) == nil ? nil : try reader.text(name)
            }
            let learnt = Learnt(
                name: try reader.identifier("name", separator: "_"),
                source: try reader.word("from", Learnt.Source.self),
                member: try reader.text("member"),
                path: try optional("path"),
                title: try optional("title"),
                field: try optional("field")
            )
            let isCall = learnt.source == .call
            guard isCall == (learnt.path != nil), isCall || learnt.title == nil && learnt.field == nil else {
                throw reader.failure("path", "belongs to a call, and to each of them")
            }
            guard !isCall || learnt.member.utf8.starts(with: "https://".utf8) else {
                throw reader.failure("member", "must be an https address")
            }
            learns.append(learnt)
        }
        return learns
    }

    private static func assertion(_ reader: MemberReader) throws(CatalogueError) -> Assertion? {
        guard let value = reader.value("assertion") else { return nil }
        let reader = try MemberReader(
            value,
            at: "\(reader.place)/assertion",
            ["key", "issuer", "subject", "audience", "scopes", "seconds"]
        )
        guard let seconds = try reader.secondsOrNull("seconds"), (1...3600).contains(seconds) else {
            throw reader.failure("seconds", "is 1 to 3600")
        }
        return Assertion(
            key: try reader.identifier("key", separator: "_"),
            issuer: try reader.textOrNull("issuer"),
            subject: try reader.textOrNull("subject"),
            audience: try address("audience", reader) ?? "",
            hasScopes: try reader.boolOrNull("scopes") ?? false,
            seconds: seconds
        )
    }
}
