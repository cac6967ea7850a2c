package import CoffreWire

extension Connector {
    /// The form that a user interface can render, compact, UTF-8: see ``form``.
    package var formJSON: [UInt8] { form.encoded() }

    /// The answer to `connectors/catalogue/<type>`: a JSON Schema (draft 2020-12) of the form.
    ///
    /// A pattern that is not certain is a hint and no `pattern`, so that no reader refuses what ``check(_:isWhole:)`` takes
    /// with a warning. What JSON Schema has no word for stands under `x-coffre`, which other readers ignore (§6.5): at the
    /// top all that is known of the connector, at a field both languages, order, widget and how sure its form is.
    package var form: JSONValue {
        var members: [JSONValue.Member] = [
            .init("$schema", "https://json-schema.org/draft/2020-12/schema"),
            .init("$id", .string("urn:coffre:connector:\(id)")),
            .init("title", .string(label.english)),
            .init("description", .string(summary.english)),
            .init("type", "object"),
            .init("properties", .object(fields.enumerated().map { .init($1.name, $1.schema(order: $0)) })),
            .init("required", .strings(fields.filter(\.isRequired).map(\.name))),
            .init("additionalProperties", .bool(false)),
        ]
        if !oneOf.isEmpty {
            let groups = oneOf.map { group in
                JSONValue.object(["anyOf": .array(group.map { .object(["required": .strings([$0])]) })])
            }
            members.append(.init("allOf", .array(groups)))
        }
        return .object(members + [.init("x-coffre", hints)])
    }

    private var hints: JSONValue {
        .object([
            "id": .string(id), "label": label.json, "summary": summary.json, "category": .string(category),
            "confidence": .string(confidence.rawValue), "auth": .strings(auth.map(\.rawValue)),
            "oauth": oauth?.json ?? .null,
            "health_check": [
                ("kind", .string(healthCheck.kind.rawValue)), ("method", .text(healthCheck.method)),
                ("url", .text(healthCheck.url)), ("expect", healthCheck.expect.json),
            ].object,
            "rotation": .object(["kind": .string(rotation.kind.rawValue), "how": rotation.how.json]),
            "revocation": .object(["kind": .string(revocation.kind.rawValue), "how": revocation.how.json]),
            "unknown": .array(unknown.map(\.json)),
        ])
    }
}

extension ConnectorField {
    /// What a form shows a value with.
    package var widget: String {
        switch kind {
        case .boolean: "checkbox"
        case .choice: "select"
        case .integer: "number"
        case .pem, .json: "textarea"
        case .url: isSecret ? "password" : "url"
        case .email: "email"
        case .string, .host: isSecret ? "password" : "text"
        }
    }

    fileprivate func schema(order: Int) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("title", .string(label.english)), .init("description", .string(help.english)),
            .init("type", .string(jsonType)),
        ]
        if !values.isEmpty { members.append(.init("enum", .strings(values))) }
        if let range {
            members.append(.init("minimum", .integer(range.lowerBound)))
            members.append(.init("maximum", .integer(range.upperBound)))
        }
        if jsonType == "string" { members.append(.init("maxLength", .integer(Self.maximumValueBytes))) }
        if let pattern, certainty == .certain { members.append(.init("pattern", .string(pattern.text))) }
        if let media { members.append(.init("contentMediaType", .string(media))) }
        if let format { members.append(.init("format", .string(format))) }
        if isSecret { members.append(.init("writeOnly", .bool(true))) }
        if let defaultValue { members.append(.init("default", defaultValue)) }
        if let example { members.append(.init("examples", .array([example]))) }
        return .object(members + [.init("x-coffre", hints(order))])
    }

    private func hints(_ order: Int) -> JSONValue {
        var hints: [JSONValue.Member] = [
            .init("order", .integer(order)), .init("kind", .string(kind.rawValue)), .init("label", label.json),
            .init("help", help.json), .init("widget", .string(widget)), .init("secret", .bool(isSecret)),
            .init("confidence", .string(certainty.rawValue)),
        ]
        if let pattern, certainty != .certain { hints.append(.init("pattern", .string(pattern.text))) }
        if let check { hints.append(.init("check", .string(check.rawValue))) }
        if !schemes.isEmpty { hints.append(.init("schemes", .strings(schemes))) }
        if !pemLabels.isEmpty { hints.append(.init("pem", .strings(pemLabels))) }
        return .object(hints)
    }

    private var jsonType: String {
        switch kind {
        case .integer: "integer"
        case .boolean: "boolean"
        case .string, .choice, .pem, .json, .url, .email, .host: "string"
        }
    }

    private var media: String? {
        switch kind {
        case .pem: "application/x-pem-file"
        case .json: "application/json"
        default: nil
        }
    }

    private var format: String? {
        switch kind {
        case .url: "uri"
        case .email: "email"
        default: nil
        }
    }
}

extension ConnectorOAuth {
    fileprivate var json: JSONValue {
        [
            ("authorization_url", .text(authorizationURL)), ("token_url", .string(tokenURL)),
            ("revocation_url", .text(revocationURL)), ("device_url", .text(deviceURL)),
            ("request_token_url", .text(requestTokenURL)), ("signature_method", .text(signatureMethod)),
            ("pkce", .string(pkce.rawValue)), ("client_authentication", .text(clientAuthentication?.rawValue)),
            ("scope_separator", .string(scopeSeparator)), ("scopes", .strings(scopes)),
            ("parameters", parameters.map { ($0.name, JSONValue.string($0.value)) }.object),
            ("access_token_seconds", .number(accessTokenSeconds)),
            ("refresh_idle_seconds", .number(refreshIdleSeconds)), ("grant_seconds", .number(grantSeconds)),
            ("refresh_rotates", refreshRotates.map { .bool($0) } ?? .null),
            ("refresh_grace_seconds", .number(refreshGraceSeconds)),
            (
                "learns",
                .array(
                    learns.map { learnt in
                        [
                            ("name", .string(learnt.name)), ("from", .string(learnt.source.rawValue)),
                            ("member", .string(learnt.member)), ("field", .text(learnt.field)),
                        ].object
                    }
                )
            ),
            ("assertion", assertion?.json ?? .null), ("client_key", .text(clientKey)), ("quirks", .strings(quirks)),
        ].object
    }
}

extension ConnectorOAuth.Assertion {
    fileprivate var json: JSONValue {
        [
            ("key", .string(key)), ("issuer", .text(issuer)), ("subject", .text(subject)),
            ("audience", .string(audience)), ("scopes", .bool(hasScopes)), ("seconds", .number(seconds)),
        ].object
    }
}
