internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// Establishes who asks, what for, and whether the policy lets them; fills in as much as it learns.
    /// - Throws: ``VaultError`` `.sealed`, `.permissionDenied`, `.notFound`, `.methodNotAllowed`, `.badRequest`.
    func decide(_ context: inout RequestContext, _ endpoint: inout Endpoint?) throws {
        if let namespace = context.request.namespace, !namespace.isEmpty, namespace != "root", namespace != "root/" {
            throw VaultError(.notFound, "namespaces are not supported: leave X-Vault-Namespace out")
        }
        context.wrapTTL = try Self.wrapTTL(context.request.wrapTTL)
        if let person = context.person {
            guard try operatorEndpoint(context) == nil else {
                throw VaultError.badRequest("operators act for themselves: leave X-Coffre-Subject out")
            }
            guard unsealed != nil else { throw VaultError.sealed }
            // Also where anybody may ask: a person who is not believed is no reason to answer as if none were named.
            if holdReason == nil, case .failure(let refusal) = person {
                // The record names the service that showed it.
                context.caller = unsealed.flatMap { try? service(of: context, $0) }
                throw refusal
            }
        }
        if let found = try operatorEndpoint(context) {
            endpoint = found
            try checkOperator(context)
            return
        }
        guard let state = unsealed else { throw VaultError.sealed }
        if let reason = holdReason {
            context.caller = try? identify(context, state)
            throw VaultError(.restored, reason)
        }
        if let found = try openEndpoint(context, state) {
            context.caller = try? identify(context, state)
            endpoint = found
            // Some of these need a right all the same, depending on what is sent.
            guard case .capability = found.access else { return }
            guard let caller = context.caller else { throw VaultError.permissionDenied }
            if let reason = holdReason { throw VaultError(.restored, reason) }
            try authorize(&context, found, caller)
            return
        }
        let caller = try identify(context, state)
        context.caller = caller
        if !context.request.query.isEmpty, let help = helpEndpoint(context, state) {
            endpoint = help
            return
        }
        guard let found = try self.endpoint(for: context, state) else {
            let rights = caller.acl.capabilities(path: context.path)
            throw rights == ["deny"] ? VaultError.permissionDenied : VaultError(.notFound, unsupportedPath(context))
        }
        endpoint = found
        try authorize(&context, found, caller)
    }

    private func authorize(_ context: inout RequestContext, _ endpoint: Endpoint, _ caller: Caller) throws {
        let capability: Capability
        var needsSudo = false
        switch endpoint.access {
        case .caller, .anyone: return
        case .capability(let needed): capability = needed
        case .sudo(let needed):
            capability = needed
            needsSudo = true
        }
        var path = context.path
        if capability == .list || capability == .scan { path.append(0x2f) }
        let decision = caller.acl.decide(capability, path: path)
        context.why = why(of: decision, caller, right: Self.right(capability, needsSudo: needsSudo))
        guard decision.isAllowed, !needsSudo || decision.hasSudo else { throw VaultError.permissionDenied }
        if decision.hasLimits { try checkLimits(decision, capability, &context) }
        for second in decision.second where second.hasLimits {
            let first = context.listing
            context.listing = nil
            try checkLimits(second, capability, &context)
            context.listing = try ListingLimits.both(first, context.listing)
        }
    }

    /// What was asked for, as records name it.
    private static func right(_ capability: Capability, needsSudo: Bool) -> String {
        switch capability {
        case .read where !needsSudo: "read"
        case .update where !needsSudo: "update"
        case _ where needsSudo: "sudo+" + (capability.sortedNames.first ?? "")
        default: capability.sortedNames.first ?? ""
        }
    }

    private func unsupportedPath(_ context: RequestContext) -> String {
        "no handler for route \"\(context.pathText)\"; see `coffre --help` for the paths of this version"
    }

    private func checkOperator(_ context: RequestContext) throws {
        guard isOperator(context.principal) else { throw VaultError.permissionDenied }
    }

    /// Whether this uid may init, unseal and confirm a restore: 0, or one of `[seal] operators`.
    func isOperator(_ principal: Principal) -> Bool {
        principal.uid == 0 || configuration.operators.contains(principal.uid)
    }

    /// Mount by mount: the longest mount path that the request's path lies under.
    func endpoint(for context: RequestContext, _ state: UnsealedState) throws -> Endpoint? {
        let path = context.path
        if path.starts(with: "sys/".utf8) { return try systemEndpoint(context, state) }
        if path.starts(with: "identity/".utf8) { return try identityEndpoint(context, state) }
        if path.starts(with: "connectors/".utf8) { return try connectorsEndpoint(context) }
        if path.starts(with: "cubbyhole/".utf8) || path.elementsEqual("cubbyhole".utf8) {
            return try cubbyholeEndpoint(context)
        }
        guard let mount = state.mounts.mount(of: path) else { return nil }
        let rest = Array(path.dropFirst(mount.path.utf8.count))
        switch mount.type {
        case .kv: return try kvEndpoint(context, mount, rest)
        case .database: return try databaseEndpoint(context, mount, rest)
        case .token: return try tokenEndpoint(context, state)
        case .peer: return try peerEndpoint(context, state)
        case .transit: return try transitEndpoint(context, mount, rest)
        case .approle: return try appRoleEndpoint(context, mount, rest)
        case .jwt: return try jwtEndpoint(context, mount, rest)
        }
    }
}

extension Vault {
    /// A warning when a client sends fields that have no meaning: it may have misspelt one.
    static func unrecognized(_ body: JSONView?, _ known: Set<String>) -> [String] {
        let unknown = (body?.members ?? []).map(\.key).filter { !known.contains($0) }
        guard !unknown.isEmpty else { return [] }
        let shown = Set(unknown).sorted().prefix(20).map { $0.prefix(64) }.joined(separator: " ")
        return ["Endpoint ignored these unrecognized parameters: [\(shown)]"]
    }
}
