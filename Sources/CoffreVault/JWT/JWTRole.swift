internal import CoffreCrypto
internal import CoffreWire

/// `auth/<mount>/role/<name>`: which tokens log in, and what they get.
struct JWTRole: Sendable {
    let name: String
    var boundAudiences: [String] = []
    var boundSubject = ""
    /// By claim: a text, number or flag, or an array of them.
    var boundClaims: [JSONValue.Member] = []
    var comparesByGlob = false
    var userClaim = ""
    var groupsClaim = ""
    /// By claim: the name of the metadata.
    var claimMappings: [(claim: String, key: String)] = []
    /// Seconds; 0 the default, −1 none. Only the last counts for a token that says when it expires, as every one must.
    var expirationLeeway: Int64 = 0
    var notBeforeLeeway: Int64 = 0
    var clockSkewLeeway: Int64 = 0
    var policies: [String] = []
    /// Seconds; 0 means the mount's.
    var tokenTTL: Int64 = 0
    var tokenMaximumTTL: Int64 = 0
    var tokenExplicitMaximumTTL: Int64 = 0
    var tokenPeriod: Int64 = 0
    var tokenUses: Int64 = 0
    var tokenType = "default"
    var isWithoutDefault = false

    /// Most of any leeway, in seconds.
    static let maximumSkew: Int64 = 600

    /// Seconds by which the clocks may differ: 60 unless it is said.
    var skew: Int64 { clockSkewLeeway == 0 ? 60 : max(0, clockSkewLeeway) }

    var allPolicies: [String] { policies + (isWithoutDefault ? [] : ["default"]) }

    init(name: String) { self.name = name }

    var json: [JSONValue.Member] {
        [
            .init("bound_audiences", .strings(boundAudiences)), .init("bound_claims", .object(boundClaims)),
            .init("bound_claims_type", .string(comparesByGlob ? "glob" : "string")),
            .init("bound_subject", .string(boundSubject)),
            .init(
                "claim_mappings",
                .object(claimMappings.map { .init($0.claim, .string($0.key)) })
            ), .init("clock_skew_leeway", .integer(clockSkewLeeway)),
            .init("expiration_leeway", .integer(expirationLeeway)), .init("groups_claim", .string(groupsClaim)),
            .init("not_before_leeway", .integer(notBeforeLeeway)), .init("role_type", "jwt"),
            .init("token_bound_cidrs", .array([])), .init("token_explicit_max_ttl", .integer(tokenExplicitMaximumTTL)),
            .init("token_max_ttl", .integer(tokenMaximumTTL)),
            .init("token_no_default_policy", .bool(isWithoutDefault)), .init("token_num_uses", .integer(tokenUses)),
            .init("token_period", .integer(tokenPeriod)), .init("token_policies", .strings(policies)),
            .init("token_ttl", .integer(tokenTTL)), .init("token_type", .string(tokenType)),
            .init("user_claim", .string(userClaim)),
        ]
    }

    var encoded: SharedSecret { SharedSecret(copying: JSONValue.object(json).encoded()) }

    /// - Returns: warnings about what has no effect here.
    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    mutating func apply(_ body: JSONView) throws(VaultError) -> [String] {
        if let type = body["role_type"]?.string, type != "jwt" {
            throw .badRequest("role_type is jwt: nobody is sent to a browser from here, so there is no oidc")
        }
        try applyClaims(body)
        func duration(_ field: String, _ target: inout Int64) throws(VaultError) {
            guard let value = body[field] else { return }
            guard let seconds = GoDuration.seconds(value) else { throw .badRequest("\(field) is not a duration") }
            target = seconds
        }
        func leeway(_ field: String, _ target: inout Int64) throws(VaultError) {
            guard let value = body[field] else { return }
            guard let seconds = value.weakInteger ?? GoDuration.seconds(value),
                (-1...Self.maximumSkew).contains(seconds)
            else {
                throw .badRequest("\(field) is a duration of at most 10 minutes, 0 for the default, -1 for none")
            }
            target = seconds
        }
        try leeway("expiration_leeway", &expirationLeeway)
        try leeway("not_before_leeway", &notBeforeLeeway)
        try leeway("clock_skew_leeway", &clockSkewLeeway)
        if let flag = body["token_no_default_policy"]?.weakBool { isWithoutDefault = flag }
        if let value = body["token_policies"] ?? body["policies"] { policies = try Vault.policyNames(value) }
        try duration("ttl", &tokenTTL)
        try duration("token_ttl", &tokenTTL)
        try duration("max_ttl", &tokenMaximumTTL)
        try duration("token_max_ttl", &tokenMaximumTTL)
        try duration("token_explicit_max_ttl", &tokenExplicitMaximumTTL)
        try duration("period", &tokenPeriod)
        try duration("token_period", &tokenPeriod)
        if let value = body["token_num_uses"] ?? body["num_uses"] {
            guard let number = value.weakInteger, (0...1_000_000_000).contains(number) else {
                throw .badRequest("token_num_uses is a whole number, 0 for any number")
            }
            tokenUses = number
        }
        try applyTokenType(body)
        for field in ["token_bound_cidrs", "bound_cidrs"] {
            if let value = body[field], value.stringList != [] {
                throw .badRequest("\(field) has no meaning on a Unix socket")
            }
        }
        try check()
        let idle = ["allowed_redirect_uris", "oidc_scopes", "verbose_oidc_logging", "max_age", "callback_mode"]
        return idle.filter { body[$0] != nil && body[$0]?.bool != false }.map {
            "\($0) has no effect: nobody is sent to a browser from here"
        }
    }

    private mutating func applyClaims(_ body: JSONView) throws(VaultError) {
        func text(_ field: String, _ target: inout String, limit: Int = 1024) throws(VaultError) {
            guard let value = body[field] else { return }
            guard let text = value.string, text.utf8.count <= limit else {
                throw .badRequest("\(field) is a text of at most \(limit) bytes")
            }
            target = text
        }
        if let value = body["bound_audiences"] {
            guard let list = value.stringList, list.count <= 64, list.allSatisfy({ (1...1024).contains($0.utf8.count) })
            else { throw .badRequest("bound_audiences is a list of at most 64 texts") }
            boundAudiences = list
        }
        try text("bound_subject", &boundSubject)
        try text("user_claim", &userClaim, limit: 256)
        try text("groups_claim", &groupsClaim, limit: 256)
        // Older clients say by a flag that the claim's name is a pointer.
        if body["user_claim_json_pointer"]?.weakBool ?? false, !userClaim.hasPrefix("/") {
            throw .badRequest("user_claim begins with a slash when it is a JSON pointer")
        }
        if let type = body["bound_claims_type"]?.string {
            guard ["string", "glob"].contains(type) else {
                throw .badRequest("invalid 'bound_claims_type': \(type.prefix(32))")
            }
            comparesByGlob = type == "glob"
        }
        if let value = body["bound_claims"] {
            guard value.isObject, value.members.count <= 64 else {
                throw .badRequest("bound_claims is an object of at most 64 claims")
            }
            boundClaims = []
            for (key, value) in value.members {
                let claim = JSONValue(value)
                let values = claim.array ?? [claim]
                guard (1...64).contains(values.count), key.utf8.count <= 256, values.allSatisfy(Self.isComparable),
                    !boundClaims.contains(where: { $0.key.utf8.elementsEqual(key.utf8) })
                else {
                    throw .badRequest("bound_claims takes, for each claim once, texts, numbers, flags or lists of them")
                }
                boundClaims.append(.init(key, claim))
            }
        }
        if let value = body["claim_mappings"] {
            guard value.isObject, value.members.count <= 32 else {
                throw .badRequest("claim_mappings is an object of at most 32 claims")
            }
            claimMappings = []
            for (claim, key) in value.members {
                guard let key = key.string, (1...128).contains(key.utf8.count), claim.utf8.count <= 256, key != "role",
                    !claimMappings.contains(where: { $0.key.utf8.elementsEqual(key.utf8) })
                else { throw .badRequest("claim_mappings names, for each claim, metadata of its own other than role") }
                claimMappings.append((claim, key))
            }
        }
    }

    private static func isComparable(_ value: JSONValue) -> Bool {
        switch value {
        case .string(let text): text.utf8.count <= 1024
        case .number, .bool: true
        default: false
        }
    }

    private mutating func applyTokenType(_ body: JSONView) throws(VaultError) {
        guard let value = body["token_type"]?.string, !value.isEmpty else { return }
        guard ["default", "service", "batch", "default-service", "default-batch"].contains(value) else {
            throw .badRequest("invalid value for 'token_type'")
        }
        tokenType = value
    }

    private func check() throws(VaultError) {
        guard !userClaim.isEmpty else { throw .badRequest("a user claim must be defined on the role") }
        if boundAudiences.isEmpty, boundSubject.isEmpty, boundClaims.isEmpty {
            throw .badRequest(
                "must have at least one bound constraint when creating/updating a role: bound_audiences, bound_subject "
                    + "or bound_claims"
            )
        }
        if comparesByGlob, boundClaims.contains(where: { ($0.value.array ?? [$0.value]).contains { $0.string == nil } })
        {
            throw .badRequest("claim is not a string or list: with bound_claims_type=glob only texts can be compared")
        }
        if tokenMaximumTTL > 0, tokenTTL > tokenMaximumTTL {
            throw .badRequest("token_ttl cannot be greater than token_max_ttl")
        }
        guard tokenType == "batch" || tokenType == "default-batch" else { return }
        if tokenUses > 0 || tokenPeriod > 0 {
            throw .badRequest("'token_type' cannot be 'batch' or 'default_batch' for periodic or counted tokens")
        }
    }
}
