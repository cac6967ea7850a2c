internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreWire

/// What the catalogue says of the fields of a connection.
enum ConnectorFields {
    /// - Throws: ``VaultError`` `.badRequest`, naming the nearest type there is.
    static func connector(_ type: String) throws(VaultError) -> Connector {
        if let found = Catalogue.shared[type] { return found }
        let nearest = Catalogue.shared.nearestID(to: type).map { "; did you mean \($0)?" } ?? ""
        throw .badRequest("type \(type.prefix(64)) is not in the catalogue (coffre connector list)\(nearest)")
    }

    /// What nobody knows is treated as a secret.
    static func isSecret(_ field: String, of type: String) -> Bool {
        Catalogue.shared[type]?.field(field)?.isSecret ?? true
    }

    /// - Parameter isWhole: whether what is not there is missing.
    /// - Returns: what is doubtful, in sentences that begin with the field's name.
    /// - Throws: ``VaultError`` `.badRequest`, naming every field that is refused.
    static func check(_ fields: JSONView, of type: String, isWhole: Bool) throws(VaultError) -> [String] {
        let findings = try connector(type).check(fields, isWhole: isWhole)
        let refused = findings.filter { $0.severity == .refuse }
        guard refused.isEmpty else {
            throw .badRequest(refused.map(\.message.english).joined(separator: "; "))
        }
        return findings.map(\.message.english)
    }
}

extension Vault {
    /// `connectors/catalogue[/<type>]`: what there is, and the form of one type.
    func catalogueEndpoint(_ context: RequestContext, _ type: String?, _ what: AuditWhat) -> Endpoint {
        guard let type else {
            guard context.verb == .get || context.verb == .list else { return .unsupported(what, .list) }
            let capability: Capability = context.verb == .list ? .list : .read
            return .read(.connectionRead, what, .capability(capability)) { _, context in
                guard context.verb == .list else { return Effect(.data(ResponseBody(Catalogue.shared.listJSON))) }
                return Effect(.data(["keys": .strings(Catalogue.shared.connectors.map(\.id))]))
            }
        }
        guard context.verb == .get else { return .unsupported(what, .read) }
        return .read(.connectionRead, what, .capability(.read)) { _, _ in
            guard let connector = Catalogue.shared[type] else { throw VaultError.notFound }
            return Effect(.data(ResponseBody(connector.formJSON)))
        }
    }
}
