internal import CoffreWire

/// What the deciding rule leaves of a list.
struct ListingLimits: Sendable {
    /// Most names.
    let most: Int?
    let filter: ListFilter?

    /// What the rules of two parties leave.
    /// - Throws: ``VaultError`` `.permissionDenied` when both have a filter: only one is applied.
    static func both(_ one: ListingLimits?, _ other: ListingLimits?) throws(VaultError) -> ListingLimits? {
        guard let one, let other else { return one ?? other }
        guard one.filter == nil || other.filter == nil else {
            throw VaultError(.permissionDenied, "two rules filter this list, one of the service and one of the person")
        }
        return ListingLimits(most: [one.most, other.most].compactMap(\.self).min(), filter: one.filter ?? other.filter)
    }
}

extension Vault {
    /// Holds a request against the limits of the rule that granted it.
    /// - Throws: ``VaultError`` `.permissionDenied`; `.badRequest` for a body that is no JSON object.
    func checkLimits(_ decision: ACLDecision, _ capability: Capability, _ context: inout RequestContext) throws {
        guard let limits = decision.limits else { return }
        let wrapTTL = context.request.wrapTTL.flatMap { GoDuration.seconds($0) }
        let query = RequestParameters.query(context.request.query)
        let isMet =
            switch capability {
            case .create, .update, .patch:
                try withBody(context) { decision.meets(capability, .body($0), wrapTTL: wrapTTL) }
            default: decision.meets(capability, query, wrapTTL: wrapTTL)
            }
        guard isMet else { throw VaultError.permissionDenied }
        guard capability == .list || capability == .scan, case .most(let most) = limits.page(query) else { return }
        if most != nil || limits.filter != nil { context.listing = ListingLimits(most: most, filter: limits.filter) }
    }

    /// Whether the deciding rule lets the answer leave wrapped for `ttl` seconds (nil or 0: not wrapped).
    /// - Throws: ``VaultError`` `.permissionDenied`.
    func checkWrapping(ttl: Int64?, _ decision: ACLDecision) throws(VaultError) {
        guard decision.allowsWrapping(ttl: ttl) else { throw .permissionDenied }
    }

    /// Takes from a list what the rule does not show. The members that name things are arrays of texts, and objects by name.
    func listed(_ effect: Effect, _ context: RequestContext) throws -> Effect {
        guard let listing = context.listing, effect.failure == nil, effect.reply.status == 200 else { return effect }
        var effect = effect
        let members: [JSONValue.Member]
        switch effect.reply.content {
        case .envelope(let body?): members = try Self.clearMembers(of: body)
        case .doubled(let given): members = given
        default: return effect
        }
        guard let keys = members.last(where: { $0.key == "keys" })?.value.array?.compactMap(\.string) else {
            throw VaultError(.internalError, "internal error", cause: VaultError.badRequest("a list without keys"))
        }
        let first = listing.most.map { keys.prefix($0) } ?? keys[...]
        let visible = Set(
            listing.filter.map { filter in first.filter { isVisible($0, filter, context) } } ?? Array(first)
        )
        guard !visible.isEmpty else { throw VaultError.notFound }
        let left = members.map { member in
            switch member.value {
            case .array(let values):
                JSONValue.Member(member.key, .array(values.filter { $0.string.map(visible.contains) ?? true }))
            case .object(let entries):
                JSONValue.Member(member.key, .object(entries.filter { visible.contains($0.key) }))
            default: member
            }
        }
        if case .doubled = effect.reply.content {
            effect.reply.content = .doubled(left)
        } else {
            effect.reply.content = .envelope(ResponseBody(JSONValue.object(left).encoded()))
        }
        return effect
    }

    private static func clearMembers(of body: ResponseBody) throws -> [JSONValue.Member] {
        var bytes: [UInt8] = []
        for piece in body.pieces {
            guard case .clear(let clear) = piece else { throw VaultError(.internalError, "internal error") }
            bytes.append(contentsOf: clear)
        }
        return try JSONValue(parsing: bytes).members ?? []
    }

    /// Whether the caller could read, or for a folder list, the path that the filter makes of a name.
    private func isVisible(_ key: String, _ filter: ListFilter, _ context: RequestContext) -> Bool {
        guard let caller = context.caller, let state = unsealed else { return false }
        let path = filter.path(for: Array(key.utf8), in: context.path + [0x2f])
        let isFolder = key.utf8.last == 0x2f
        let decision = caller.acl.decide(isFolder ? .list : .read, path: path)
        // Of a service and a person, the rules of both.
        guard decision.isAllowed,
            ([decision] + decision.second).allSatisfy({ $0.meets(isFolder ? .list : .read, .query([]), wrapTTL: nil) })
        else { return false }
        if decision.hasSudo { return true }
        let request = VaultRequest(verb: isFolder ? .list : .get, path: path, acceptedAt: context.request.acceptedAt)
        let asked = RequestContext(request, principal: context.principal, now: context.now)
        guard let endpoint = try? endpoint(for: asked, state), case .sudo = endpoint.access else { return true }
        return false
    }
}
