internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// Most tokens that one question looks at.
    private static let maximumTokens = 10_000

    /// `sys/policies/who-can` and `sys/policies/why`.
    func policyQuestionEndpoint(_ context: RequestContext, _ rest: String) -> Endpoint? {
        var what = AuditWhat()
        what.path = "sys/" + rest
        switch (rest, context.verb) {
        case ("policies/who-can", .write):
            return .read(.policyRead, what, .sudo(.update)) { vault, context in
                let (asked, _) = try vault.withBody(context) { try PolicyQuestion.read($0) }
                return Effect(.data(try vault.whoCan(asked, context)))
            }
        case ("policies/why", .write):
            return .read(.policyRead, what, .capability(.update)) { vault, context in
                let (asked, accessor) = try vault.withBody(context) { try PolicyQuestion.read($0) }
                guard let caller = context.caller else { throw VaultError.permissionDenied }
                guard let accessor, accessor != caller.token?.accessor else {
                    return Effect(.data(vault.why(asked, caller.policies, caller.token, context)))
                }
                // What another may do is nobody's business who is not told so.
                guard caller.acl.decide(.update, path: context.path).hasSudo else { throw VaultError.permissionDenied }
                guard let entry = try vault.tokenEntry(accessor: accessor), !entry.isExpired(at: context.now) else {
                    throw VaultError.badRequest("invalid accessor")
                }
                var facts = AuditWhat()
                facts.path = "sys/policies/why"
                facts.details = [("accessor", .text(entry.accessor))]
                return Effect(
                    .data(vault.why(asked, entry.policies + vault.identityPolicies(of: entry), entry, context)),
                    what: facts
                )
            }
        case ("policies/who-can", _), ("policies/why", _): return .unsupported(what)
        default: return nil
        }
    }

    private func tokenEntry(accessor: String) throws -> TokenEntry? {
        guard let state = unsealed, accessor.utf8.count <= 128,
            let row = try barrier.get(.tokenAccessor(accessor)),
            let hash = row.value.withBytes({ Digest(Array($0)) })
        else { return nil }
        return try tokenEntry(hash, state)
    }

    // MARK: why

    private func why(_ asked: PolicyQuestion, _ names: [String], _ token: TokenEntry?, _ context: RequestContext)
        -> JSONValue
    {
        var members: [JSONValue.Member] = [
            .init("path", .string(asked.pathText)), .init("capability", .string(asked.name)),
            .init("accessor", token.map { .string($0.accessor) } ?? .null), .init("policies", .strings(names)),
        ]
        let needsSudo = needsSudo(asked, context)
        if names.contains("root") {
            members += [
                .init("allowed", .bool(true)), .init("needs_sudo", .bool(needsSudo)), .init("policy", "root"),
                .init("reason", "the policy root allows everything"), .init("competing", .array([])),
            ]
            return .object(members)
        }
        let policies = names.compactMap { unsealed?.policies[$0] }
        let explanation = PolicyExplanation(
            policies,
            subject: token.flatMap { subject(of: $0) },
            capability: asked.capability,
            path: asked.path,
            now: context.now.seconds
        )
        let decision = explanation.decision
        let isAllowed = decision.isAllowed && (!needsSudo || decision.hasSudo)
        members += [.init("allowed", .bool(isAllowed)), .init("needs_sudo", .bool(needsSudo))]
        members.append(.init("reason", .string(reason(explanation, asked, needsSudo: needsSudo))))
        let deciding = explanation.candidates.first {
            $0.policy == decision.policy && $0.rule == decision.rule && decision.policy != nil
        }
        if let deciding {
            members += describe(deciding)
            if let limits = decision.limits { members.append(.init("conditions", Self.describe(limits))) }
        } else {
            members.append(.init("policy", .null))
        }
        let competing = explanation.candidates.filter { candidate in
            deciding.map { $0.policy != candidate.policy || $0.rule != candidate.rule } ?? true
        }
        members.append(
            .init(
                "competing",
                .array(
                    competing.prefix(100).map { candidate in
                        let reason = candidate.reason ?? "it has the same path: both are one rule"
                        return .object(describe(candidate) + [.init("reason", .string(reason))])
                    }
                )
            )
        )
        let missing = names.filter { unsealed?.policies[$0] == nil }
        members.append(.init("missing_policies", .strings(missing)))
        return .object(members)
    }

    func reason(_ explanation: PolicyExplanation, _ asked: PolicyQuestion, needsSudo: Bool) -> String {
        let decision = explanation.decision
        if decision.policy == nil { return "no rule fits this path" }
        if decision.isDeny {
            return explanation.candidates.contains { $0.reason == nil }
                ? "the deciding rule says deny"
                : "a template met a value with *, + or /: nothing is granted to this caller"
        }
        if !decision.isAllowed { return "the deciding rule does not grant \(asked.name)" }
        if needsSudo, !decision.hasSudo {
            return "the deciding rule grants \(asked.name), but this path also needs sudo"
        }
        return !decision.hasLimits
            ? "the deciding rule grants \(asked.name)" : "the deciding rule grants \(asked.name) under conditions"
    }

    func describe(_ rule: PolicyExplanation.Candidate) -> [JSONValue.Member] {
        [
            .init("policy", .string(rule.policy)), .init("version", .integer(rule.version)),
            .init("rule", .integer(rule.rule)), .init("rule_path", .string(rule.source)),
            .init("capabilities", .strings(rule.capabilities)),
            .init("first_line", rule.lines.first > 0 ? .integer(rule.lines.first) : .null),
            .init("last_line", rule.lines.last > 0 ? .integer(rule.lines.last) : .null),
            .init("text", rule.text.map { .string($0) } ?? .null),
        ]
    }

    /// Names of what is demanded, without the values.
    private static func describe(_ limits: RuleLimits) -> JSONValue {
        func names(_ keys: some Sequence<[UInt8]>) -> JSONValue {
            .strings(keys.map { String(decoding: $0, as: UTF8.self) }.sorted())
        }
        var members: [JSONValue.Member] = []
        if !limits.allowed.isEmpty { members.append(.init("allowed_parameters", names(limits.allowed.keys))) }
        if !limits.denied.isEmpty { members.append(.init("denied_parameters", names(limits.denied.keys))) }
        if !limits.required.isEmpty { members.append(.init("required_parameters", names(limits.required))) }
        if let ttl = limits.minimumWrapTTL { members.append(.init("min_wrapping_ttl", .integer(ttl))) }
        if let ttl = limits.maximumWrapTTL { members.append(.init("max_wrapping_ttl", .integer(ttl))) }
        if let most = limits.paginationLimit { members.append(.init("pagination_limit", .integer(most))) }
        if limits.filter != nil { members.append(.init("filters_names", .bool(true))) }
        return .object(members)
    }

    /// Whether the route behind a path also wants `sudo`.
    private func needsSudo(_ asked: PolicyQuestion, _ context: RequestContext) -> Bool {
        guard let state = unsealed, let verb = asked.verb else { return false }
        let request = VaultRequest(verb: verb, path: asked.path, acceptedAt: context.request.acceptedAt)
        let other = RequestContext(request, principal: context.principal, now: context.now)
        guard let endpoint = try? endpoint(for: other, state), case .sudo = endpoint.access else { return false }
        return true
    }

    // MARK: who can

    private func whoCan(_ asked: PolicyQuestion, _ context: RequestContext) throws -> JSONValue {
        guard let state = unsealed else { throw VaultError.sealed }
        let needsSudo = needsSudo(asked, context)
        func allows(_ decision: ACLDecision) -> Bool { decision.isAllowed && (!needsSudo || decision.hasSudo) }
        var policies: [JSONValue] = []
        for policy in state.policies.values.sorted(by: { $0.name < $1.name }) {
            let explanation = PolicyExplanation(
                [policy],
                subject: nil,
                capability: asked.capability,
                path: asked.path,
                now: context.now.seconds
            )
            guard allows(explanation.decision),
                let rule = explanation.candidates.first(where: { $0.rule == explanation.decision.rule })
            else { continue }
            let isLimited = explanation.decision.hasLimits
            policies.append(.object(describe(rule) + [.init("conditional", .bool(isLimited))]))
        }
        var known: [[String]: ACLDecision] = [:]
        func decide(_ names: [String], _ token: TokenEntry?) -> ACLDecision {
            let entity = token.flatMap { self.subject(of: $0) }
            if entity == nil, let decision = known[names] { return decision }
            let acl =
                names.contains("root")
                ? ACL.root
                : ACL(policies: names.compactMap { state.policies[$0] }, subject: entity, now: context.now.seconds)
            let decision = acl.decide(asked.capability, path: asked.path)
            if entity == nil { known[names] = decision }
            return decision
        }
        let rows = try barrier.entries(in: .token, parent: Array("hash".utf8), limit: Self.maximumTokens + 1)
        var tokens: [(name: String, value: JSONValue)] = []
        for (name, row) in rows.prefix(Self.maximumTokens) {
            guard let hash = Digest(name), !state.endingTokens.contains(hash) else { continue }
            let entry = try TokenEntry(hash: hash, decoding: row.value)
            guard !entry.isExpired(at: context.now) else { continue }
            let decision = decide(entry.policies + identityPolicies(of: entry), entry)
            guard allows(decision) else { continue }
            let members: [JSONValue.Member] = [
                .init("accessor", .string(entry.accessor)), .init("display_name", .string(entry.displayName)),
                .init("policies", .strings(entry.policies)),
            ]
            tokens.append((entry.accessor, .object(members + Self.decided(decision))))
        }
        var roles: [JSONValue] = []
        for role in state.peerRoles.values.sorted(by: { $0.name < $1.name }) {
            let names = Set(role.policies).union(["default"]).sorted()
            let decision = decide(names, nil)
            guard allows(decision) else { continue }
            let members: [JSONValue.Member] = [
                .init("name", .string(role.name)), .init("policies", .strings(names)),
            ]
            roles.append(.object(members + Self.decided(decision)))
        }
        let sorted = tokens.sorted { $0.name < $1.name }.map { $0.value }
        return .object([
            "path": .string(asked.pathText), "capability": .string(asked.name), "needs_sudo": .bool(needsSudo),
            "policies": .array(policies),
            "tokens": .array(sorted), "peer_roles": .array(roles),
            "truncated": .bool(rows.count > Self.maximumTokens),
        ])
    }

    private static func decided(_ decision: ACLDecision) -> [JSONValue.Member] {
        let policy = decision.policy.map { JSONValue.string($0) }
        let version = decision.policyVersion.map { JSONValue.integer($0) }
        let rule = decision.rule.map { JSONValue.integer($0) }
        return [
            .init("policy", policy ?? .null), .init("version", version ?? .null), .init("rule", rule ?? .null),
            .init("conditional", .bool(decision.hasLimits)),
        ]
    }

    /// Whom the templates of a token's policies speak of.
    private func subject(of token: TokenEntry) -> PolicySubject? {
        guard let state = unsealed, let entity = state.identity.entities[token.entityID] else { return nil }
        return subject(of: entity, state)
    }
}

/// A capability on a path.
struct PolicyQuestion: Sendable {
    /// Ends in a slash for `list` and `scan`.
    let path: [UInt8]
    let capability: Capability
    let name: String

    var pathText: String { String(decoding: path, as: UTF8.self) }

    /// How a request with this capability is made; nil for `sudo`.
    var verb: VaultRequest.Verb? {
        switch capability {
        case .read: .get
        case .create, .update: .write
        case .patch: .patch
        case .delete: .delete
        case .list: .list
        case .scan: .scan
        default: nil
        }
    }

    /// `path`, `capability` (default `read`) and `accessor` of a body.
    /// - Throws: ``VaultError`` `.badRequest`.
    static func read(_ body: JSONView?) throws(VaultError) -> (PolicyQuestion, accessor: String?) {
        guard let text = body?["path"]?.string else { throw .badRequest("path must be supplied") }
        var path = Array(text.utf8.drop { $0 == 0x2f })
        if path.starts(with: "v1/".utf8) { path.removeFirst(3) }
        while path.last == 0x2f { path.removeLast() }
        guard !path.isEmpty, path.count <= 4096 else { throw .badRequest("path must be supplied") }
        let name = body?["capability"]?.string ?? "read"
        guard let capability = Capability(name: name), capability != .deny else {
            throw .badRequest("capability is create, read, update, patch, delete, list, scan or sudo")
        }
        if capability == .list || capability == .scan { path.append(0x2f) }
        return (PolicyQuestion(path: path, capability: capability, name: name), body?["accessor"]?.string)
    }
}
