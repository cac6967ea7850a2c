internal import CoffreWire

/// What somebody asks of a new token.
struct TokenRequest: Sendable {
    var policies: [String] = []
    /// Seconds.
    var ttl: Int64 = 0
    /// Longest life with renewals, when it is not the vault's.
    var maximumTTL: Int64 = 0
    var explicitMaximumTTL: Int64 = 0
    var period: Int64 = 0
    var displayName = "token"
    var meta: [String: String] = [:]
    var uses: Int64 = 0
    var isBatch: Bool?
    var isRenewable = true
    var isOrphan = false
    var isWithoutDefault = false
    var isUnbound = false
    var entityAlias = ""
    var entityID = ""
    var role = ""
    /// Those that the token comes from.
    var peerRoles: [String] = []

    init() {}

    /// - Throws: ``VaultError`` `.badRequest` for what is not possible, naming it.
    init(_ body: JSONView?) throws(VaultError) {
        func duration(_ field: String) throws(VaultError) -> Int64 {
            guard let value = body?[field] else { return 0 }
            guard let seconds = GoDuration.seconds(value) else { throw .badRequest("\(field) is not a duration") }
            return seconds
        }
        if let value = body?["policies"] {
            guard let names = value.stringList, names.count <= 1000 else {
                throw .badRequest("policies is a list of names")
            }
            policies = names
        }
        ttl = try duration("ttl")
        if ttl == 0 { ttl = try duration("lease") }
        explicitMaximumTTL = try duration("explicit_max_ttl")
        period = try duration("period")
        if let name = body?["display_name"]?.string, !name.isEmpty {
            guard name.utf8.count <= 256 else { throw .badRequest("display_name has at most 256 bytes") }
            displayName = "token-" + name
        }
        for member in body?["meta"]?.members ?? [] {
            guard let text = member.value.string, text.utf8.count <= 1024, member.key.utf8.count <= 256, meta.count < 64
            else { throw .badRequest("meta takes up to 64 texts of 1024 bytes") }
            meta[member.key] = text
        }
        switch body?["type"]?.string ?? "" {
        case "": break
        case "service": isBatch = false
        case "batch": isBatch = true
        default: throw .badRequest("invalid 'token_type' value")
        }
        if let value = body?["num_uses"] {
            guard let number = value.weakInteger, (0...1_000_000_000).contains(number) else {
                throw .badRequest("num_uses is a whole number, 0 for any number")
            }
            uses = number
        }
        if let id = body?["id"], id.string != "" { throw .badRequest("the id of a token cannot be chosen") }
        entityAlias = body?["entity_alias"]?.string ?? ""
        isRenewable = body?["renewable"]?.weakBool ?? true
        isOrphan = body?["no_parent"]?.weakBool ?? false
        isWithoutDefault = body?["no_default_policy"]?.weakBool ?? false
        isUnbound = body?["unbound"]?.weakBool ?? false
    }

    /// - Throws: ``VaultError`` `.badRequest`: what a batch token cannot have.
    func checkBatch() throws(VaultError) {
        guard isBatch ?? false else { return }
        if explicitMaximumTTL > 0 { throw .badRequest("batch tokens cannot have \"explicit_max_ttl\" set") }
        if uses > 0 { throw .badRequest("batch tokens cannot have \"num_uses\" set") }
        if period > 0 { throw .badRequest("batch tokens cannot have \"period\" set") }
    }
}
