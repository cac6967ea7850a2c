internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// `auth/token/roles/<name>`: which tokens may be made under this name.
struct TokenRole: Sendable {
    let name: String
    var allowedPolicies: [String] = []
    var disallowedPolicies: [String] = []
    var allowedGlobs: [String] = []
    var disallowedGlobs: [String] = []
    var allowedAliases: [String] = []
    var isOrphan = false
    var isRenewable = true
    var pathSuffix = ""
    /// Seconds.
    var period: Int64 = 0
    var explicitMaximumTTL: Int64 = 0
    var uses: Int64 = 0
    var isWithoutDefault = false
    var tokenType = "default-service"

    static let parent = Array("role".utf8)

    static func key(_ name: String) -> BarrierKey {
        BarrierKey(namespace: .token, parent: parent, name: Array(name.utf8))
    }

    init(name: String) { self.name = name }

    /// Whether this role decides about policies at all.
    var restrictsPolicies: Bool {
        !(allowedPolicies.isEmpty && disallowedPolicies.isEmpty && allowedGlobs.isEmpty && disallowedGlobs.isEmpty)
    }

    func allows(policy: String) -> Bool {
        if disallowedPolicies.contains(policy) || disallowedGlobs.contains(where: { Glob.matches($0, policy) }) {
            return false
        }
        if allowedPolicies.isEmpty, allowedGlobs.isEmpty { return true }
        return allowedPolicies.contains(policy) || allowedGlobs.contains { Glob.matches($0, policy) }
    }

    var json: JSONValue {
        var members: [JSONValue.Member] = [
            .init("allowed_entity_aliases", .orNull(allowedAliases)),
            .init("allowed_policies", .strings(allowedPolicies)),
            .init("allowed_policies_glob", .strings(allowedGlobs)),
            .init("disallowed_policies", .strings(disallowedPolicies)),
            .init("disallowed_policies_glob", .strings(disallowedGlobs)),
            .init("explicit_max_ttl", .integer(0)), .init("name", .string(name)), .init("orphan", .bool(isOrphan)),
            .init("path_suffix", .string(pathSuffix)), .init("period", .integer(0)),
            .init("renewable", .bool(isRenewable)),
            .init("token_explicit_max_ttl", .integer(explicitMaximumTTL)),
            .init("token_no_default_policy", .bool(isWithoutDefault)),
            .init("token_period", .integer(period)), .init("token_type", .string(tokenType)),
        ]
        if uses > 0 { members.append(.init("token_num_uses", .integer(uses))) }
        return .object(members)
    }

    var encoded: SharedSecret { SharedSecret(copying: json.encoded()) }

    /// Takes over what a client sends, or what is stored; absent fields keep their value.
    /// - Returns: warnings.
    /// - Throws: ``VaultError`` `.badRequest`, naming the field.
    mutating func apply(_ body: JSONView) throws(VaultError) -> [String] {
        var warnings: [String] = []
        func names(_ field: String) throws(VaultError) -> [String]? {
            guard let value = body[field] else { return nil }
            guard let list = value.stringList, list.count <= 1000 else {
                throw .badRequest("\(field) is a list of names")
            }
            return list.map { $0.lowercased() }
        }
        func duration(_ field: String) throws(VaultError) -> Int64? {
            guard let value = body[field] else { return nil }
            guard let seconds = GoDuration.seconds(value) else { throw .badRequest("\(field) is not a duration") }
            return seconds
        }
        if let list = try names("allowed_policies") { allowedPolicies = list }
        if let list = try names("disallowed_policies") { disallowedPolicies = list }
        if let list = try names("allowed_policies_glob") { allowedGlobs = list }
        if let list = try names("disallowed_policies_glob") { disallowedGlobs = list }
        if let list = try names("allowed_entity_aliases") { allowedAliases = list }
        if let flag = body["orphan"]?.weakBool { isOrphan = flag }
        if let flag = body["renewable"]?.weakBool { isRenewable = flag }
        if let flag = body["token_no_default_policy"]?.weakBool { isWithoutDefault = flag }
        for (field, old) in [("token_period", "period"), ("token_explicit_max_ttl", "explicit_max_ttl")] {
            let (new, deprecated) = (try duration(field), try duration(old))
            // What is stored holds both.
            if let new, new > 0, let deprecated, deprecated > 0 {
                warnings.append(
                    "Both '\(field)' and deprecated '\(old)' value supplied, ignoring the deprecated value"
                )
            }
            guard let value = new.flatMap({ $0 > 0 || deprecated == nil ? $0 : nil }) ?? deprecated ?? new else {
                continue
            }
            if field == "token_period" { period = value } else { explicitMaximumTTL = value }
        }
        if let value = body["token_num_uses"] {
            guard let number = value.weakInteger, (0...1_000_000_000).contains(number) else {
                throw .badRequest("token_num_uses is a whole number, 0 for any number")
            }
            uses = number
        }
        if let text = body["path_suffix"]?.string {
            let isFine = text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x5f
                    || $0 == 0x2d || $0 == 0x2e
            }
            guard text.isEmpty || (text.utf8.count >= 3 && text.utf8.count <= 128 && isFine && !text.contains(".."))
            else {
                throw .badRequest(
                    "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w"
                )
            }
            pathSuffix = text
        }
        if let value = body["token_type"]?.string, !value.isEmpty {
            guard ["service", "batch", "default-service", "default-batch"].contains(value) else {
                throw .badRequest("invalid 'token_type' value \"\(value)\"")
            }
            tokenType = value
        }
        if let value = body["token_bound_cidrs"] ?? body["bound_cidrs"], value.stringList != [] {
            throw .badRequest(
                "token_bound_cidrs has no meaning on a Unix socket: bind to uids and units with auth/peer"
            )
        }
        if tokenType == "batch" {
            if !isOrphan {
                throw .badRequest("'token_type' cannot be 'batch' when role is set to generate non-orphan tokens")
            }
            if period > 0 {
                throw .badRequest("'token_type' cannot be 'batch' when role is set to generate periodic tokens")
            }
            if isRenewable, body["renewable"]?.weakBool ?? false {
                throw .badRequest("'token_type' cannot be 'batch' when role is set to generate renewable tokens")
            }
            if explicitMaximumTTL > 0 {
                throw .badRequest(
                    "'token_type' cannot be 'batch' when role is set to generate tokens with an explicit max TTL"
                )
            }
        }
        return warnings
    }
}

/// Patterns where `*` at the start, at the end, or both stands for anything.
enum Glob {
    static func matches(_ pattern: String, _ text: String) -> Bool {
        var pattern = pattern.utf8[...]
        let text = text.utf8
        let (anyStart, anyEnd) = (pattern.first == 0x2a, pattern.last == 0x2a)
        if anyStart { pattern = pattern.dropFirst() }
        if anyEnd { pattern = pattern.dropLast() }
        switch (anyStart, anyEnd) {
        case (false, false): return text.elementsEqual(pattern)
        case (true, false): return text.count >= pattern.count && text.suffix(pattern.count).elementsEqual(pattern)
        case (false, true): return text.starts(with: pattern)
        case (true, true): return pattern.isEmpty || Array(text).firstRange(of: Array(pattern)) != nil
        }
    }
}

extension Vault {
    func tokenRole(_ name: String) throws -> TokenRole? {
        guard isName(name), let row = try barrier.get(TokenRole.key(name)) else { return nil }
        var role = TokenRole(name: name)
        _ = try row.value.withBytes { try role.apply(try JSONView($0)) }
        return role
    }

    /// `auth/token/roles[/<name>]`.
    func tokenRoleEndpoint(_ context: RequestContext, _ action: String) throws -> Endpoint? {
        var what = AuditWhat(path: "auth/token/" + action)
        guard action != "roles" else {
            guard context.verb == .list else { return .unsupported(what, .list) }
            return .read(.sysRead, what, .capability(.list)) { vault, _ in
                try vault.listing(.token, TokenRole.parent)
            }
        }
        let name = String(action.dropFirst(6))
        guard isName(name) else { return nil }
        what.details = [("role", .text(name))]
        switch context.verb {
        case .get:
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let role = try vault.tokenRole(name) else { throw VaultError.notFound }
                return Effect(.data(role.json))
            }
        case .write:
            let exists = try tokenRole(name) != nil
            return .change(.authChange, what, .capability(exists ? .update : .create)) { vault, context in
                guard let state = vault.unsealed else { throw VaultError.sealed }
                return try await state.locks.withLock(Array("token-role/\(name)".utf8)) {
                    var role = try vault.tokenRole(name) ?? TokenRole(name: name)
                    let warnings = try vault.withBody(context) { body in try body.map { try role.apply($0) } ?? [] }
                    let generation = try await vault.commit([.put(TokenRole.key(name), role.encoded, expect: .any)])
                    var reply = Reply.noContent
                    reply.warnings = warnings
                    return Effect(reply, generation: generation)
                }
            }
        case .delete:
            return .change(.authChange, what, .capability(.delete)) { vault, _ in
                Effect(.noContent, generation: try await vault.commit([.delete(TokenRole.key(name), expect: .any)]))
            }
        default: return .unsupported(what)
        }
    }
}
