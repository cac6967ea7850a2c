internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// A provider as one connection has it: the catalogue's facts with the connection's fields in their places.
struct OAuthProvider: Sendable {
    let connector: Connector
    let oauth: ConnectorOAuth
    let fields: [String: String]
    let secrets: Set<String>
    /// Of the grant that it is asked for; nil before there is one.
    let flow: OAuthGrant.Flow?

    /// - Throws: ``VaultError`` `.badRequest` for a type without OAuth.
    init(
        _ connection: Connection,
        learnt: [String: String] = [:],
        flow: OAuthGrant.Flow? = nil
    ) throws(VaultError) {
        let connector = try ConnectorFields.connector(connection.type)
        guard let oauth = connector.oauth else {
            throw .badRequest("connections of the type \(connection.type) have no OAuth")
        }
        self.connector = connector
        self.oauth = oauth
        fields = connection.fields.merging(learnt) { $1 }
        secrets = Set(connection.secrets.keys)
        self.flow = flow
    }

    /// As `grant` has it.
    init(_ connection: Connection, _ grant: OAuthGrant) throws(VaultError) {
        try self.init(connection, learnt: grant.learnt, flow: grant.flow)
    }

    var hasSecret: Bool { Self.secretName(connector).map { secrets.contains($0) } ?? false }

    func has(_ quirk: String) -> Bool { oauth.quirks.contains(quirk) }

    /// What can be done by this version, the usual way first.
    var flows: [OAuthGrant.Flow] {
        guard oauth.signatureMethod == nil else { return [.first] }
        var flows: [OAuthGrant.Flow] = []
        if oauth.authorizationURL != nil, connector.auth.contains(.authorizationCode) { flows.append(.code) }
        if connector.auth.contains(.clientCredentials) || has("exchange_token_grant") { flows.append(.client) }
        if oauth.deviceURL != nil, connector.auth.contains(.device) { flows.append(.device) }
        guard let assertion = oauth.assertion else { return flows }
        // Who has entered a key and no client means the key.
        let isUsual = secrets.contains(assertion.key) && !secrets.contains(Self.secretName(connector) ?? "")
        flows.insert(.service, at: isUsual ? 0 : flows.endIndex)
        return flows
    }

    /// The field that names the client.
    private static func clientName(_ connector: Connector) -> String? {
        if connector.oauth?.quirks.contains("email_only_basic") == true { return "email" }
        if connector.oauth?.signatureMethod != nil { return "api_key" }
        return ["client_id", "app_id"].first { connector.field($0) != nil }
    }

    /// The secret that proves it.
    static func secretName(_ connector: Connector) -> String? {
        if connector.oauth?.signatureMethod != nil { return "api_secret" }
        return ["client_secret", "app_secret"].first { connector.field($0)?.isSecret == true }
    }

    /// - Throws: ``VaultError`` `.badRequest`.
    func clientID() throws(VaultError) -> String {
        guard let name = Self.clientName(connector) else {
            throw .badRequest("connections of the type \(connector.id) have no OAuth client of their own yet")
        }
        guard let id = fields[name], !id.isEmpty else {
            throw .badRequest(
                "the field \(name) of this connection is empty: register an OAuth application at the provider and enter it"
            )
        }
        return id
    }

    // MARK: addresses

    /// An address of the catalogue with its `{name}`s filled in.
    /// - Parameter keptName: stays as it is, braces and all.
    /// - Throws: ``VaultError`` `.badRequest`, naming a field that is empty or cannot stand in an address.
    func fill(_ template: String, keeping keptName: String? = nil) throws(VaultError) -> String {
        var result = ""
        var rest = Substring(template)
        while let open = rest.firstIndex(of: "{") {
            guard let close = rest[open...].firstIndex(of: "}") else { break }
            result += rest[..<open]
            let name = String(rest[rest.index(after: open)..<close])
            rest = rest[rest.index(after: close)...]
            guard name != keptName else {
                result += "{\(name)}"
                continue
            }
            guard let value = fields[name] ?? connector.field(name)?.defaultValue?.string, !value.isEmpty else {
                throw .badRequest("the value \(name) of this connection is not known yet: enter it, or connect first")
            }
            // A value that begins the address is one itself; any other is a word in it.
            let isAddress = result.isEmpty && value.hasPrefix("https://")
            guard value.utf8.allSatisfy({ Self.isWord($0) || isAddress && $0 == 0x2f }) else {
                throw .badRequest("the value \(name) of this connection holds a character that no address has")
            }
            result += isAddress && value.hasSuffix("/") ? String(value.dropLast()) : value
        }
        return result + rest
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
            || [0x2d, 0x2e, 0x3a, 0x5f, 0x7e].contains(byte)
    }

    func target(_ template: String, keeping keptName: String? = nil) throws(VaultError) -> WebTarget {
        let text = try fill(template, keeping: keptName)
        do throws(BrokerWireError) {
            return try WebTarget(text)
        } catch {
            throw .badRequest("the provider's address cannot be used: \(error.message)")
        }
    }

    /// Where a person consents (RFC 6749 §4.1.1, RFC 7636 §4.3).
    /// - Parameter challenge: nil where the provider knows no proof keys.
    func authorization(
        redirect: String,
        scopes: [String],
        state: String,
        challenge: String?
    ) throws(VaultError) -> String {
        guard let template = oauth.authorizationURL else {
            throw .badRequest("this provider has no page for a consent")
        }
        let address = try target(template).text
        var query = [("response_type", "code"), ("client_id", try clientID()), ("redirect_uri", redirect)]
        if !scopes.isEmpty { query.append(("scope", scopes.joined(separator: oauth.scopeSeparator))) }
        query.append(("state", state))
        if let challenge { query += [("code_challenge", challenge), ("code_challenge_method", "S256")] }
        for (name, value) in oauth.parameters where !query.contains(where: { $0.0 == name }) {
            query.append((name, value))
        }
        return address + (address.contains("?") ? "&" : "?") + Self.encode(query)
    }

    static func encode(_ query: [(String, String)]) -> String {
        query.map { encode($0.0) + "=" + encode($0.1) }.joined(separator: "&")
    }

    /// RFC 3986 §2.1.
    private static func encode(_ text: String) -> String {
        text.utf8.reduce(into: "") { result, byte in
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte)
            result += isPlain ? String(UnicodeScalar(byte)) : "%" + Hex.encode([byte]).uppercased()
        }
    }

    /// Whether an `iss` of a callback is this provider's (RFC 9207 §2.4): an https address at the host of its consent
    /// page or of its tokens.
    func isIssuer(_ text: String) -> Bool {
        guard let issuer = try? WebTarget(text), issuer.scheme == .https else { return false }
        return [oauth.authorizationURL, oauth.tokenURL].compactMap(\.self).contains { template in
            guard let own = try? target(template) else { return false }
            return own.host.lowercased().utf8.elementsEqual(issuer.host.lowercased().utf8) && own.port == issuer.port
        }
    }
}
