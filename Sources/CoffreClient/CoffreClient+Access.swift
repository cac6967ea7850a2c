import CoffreWire

/// Leases, tokens, policies.
extension CoffreClient {
    /// `sys/leases/lookup`.
    public func lookUpLease(_ id: String) async throws(ClientError) -> Answer {
        try await send(.put, "sys/leases/lookup", json: .object(["lease_id": .string(id)]))
    }

    /// `sys/leases/renew`.
    /// - Parameters:
    ///   - id: the lease.
    ///   - increment: asked from now, whole seconds; the server may grant less. Nil asks for the default.
    /// - Returns: the lease with its true remaining time.
    public func renewLease(_ id: String, increment: Duration? = nil) async throws(ClientError) -> Answer {
        var members = [JSONValue.Member("lease_id", .string(id))]
        if let increment { members.append(.init("increment", .integer(increment.components.seconds))) }
        return try await send(.put, "sys/leases/renew", json: .object(members))
    }

    /// `sys/leases/revoke`; a lease that is gone already counts as revoked.
    ///
    /// Returns after the revocation was carried out, not only accepted.
    public func revokeLease(_ id: String) async throws(ClientError) {
        _ = try await send(.put, "sys/leases/revoke", json: .object(["lease_id": .string(id), "sync": .bool(true)]))
    }

    /// `sys/leases/revoke-prefix`; needs `sudo`.
    /// - Parameter force: drops the leases even when the other system cannot be reached (`revoke-force`).
    public func revokeLeases(prefix: String, force: Bool) async throws(ClientError) {
        let route = force ? "revoke-force" : "revoke-prefix"
        _ = try await send(.put, "sys/leases/\(route)/\(prefix)", json: .object(["sync": .bool(true)]))
    }

    /// Which token a call is about.
    public enum TokenReference: Sendable {
        /// The one in use.
        case own
        /// By its accessor, which is not secret.
        case accessor(String)
        /// Another token.
        case token(ClientToken)

        fileprivate func route(_ verb: String) -> (path: String, members: [JSONValue.Member]) {
            switch self {
            case .own: ("auth/token/\(verb)-self", [])
            case .accessor(let accessor): ("auth/token/\(verb)-accessor", [.init("accessor", .string(accessor))])
            case .token(let token): ("auth/token/\(verb)", [.init("token", .string(token.value))])
            }
        }
    }

    /// `auth/token/lookup…`.
    public func lookUpToken(_ reference: TokenReference) async throws(ClientError) -> Answer {
        if case .own = reference { return try await read("auth/token/lookup-self") }
        let (path, members) = reference.route("lookup")
        return try await send(.put, path, json: .object(members))
    }

    /// `auth/token/renew…`.
    /// - Parameter increment: whole seconds from now; nil asks for the default.
    public func renewToken(
        _ reference: TokenReference,
        increment: Duration? = nil
    ) async throws(ClientError) -> Answer {
        var (path, members) = reference.route("renew")
        if let increment { members.append(.init("increment", .integer(increment.components.seconds))) }
        return try await send(.put, path, json: .object(members))
    }

    /// `auth/token/revoke…`: the token, its children and all their leases.
    public func revokeToken(_ reference: TokenReference) async throws(ClientError) {
        let (path, members) = reference.route("revoke")
        _ = try await send(.put, path, json: .object(members))
    }

    /// `sys/capabilities-self`.
    /// - Returns: one key per path with a list of capabilities.
    public func capabilities(paths: [String]) async throws(ClientError) -> Answer {
        try await send(.put, "sys/capabilities-self", json: .object(["paths": .strings(paths)]))
    }

    /// The names of `sys/policies/acl`.
    public func policies() async throws(ClientError) -> [String] {
        try Self.keys(of: await list("sys/policies/acl"))
    }

    /// The text of a policy.
    public func policy(_ name: String) async throws(ClientError) -> String {
        guard let text = try await read("sys/policies/acl/\(name)").data?["policy"]?.string else {
            throw ClientError(.malformedAnswer, "the answer has no policy")
        }
        return text
    }

    /// Creates or replaces a policy.
    /// - Returns: warnings of the server.
    public func putPolicy(_ name: String, text: String) async throws(ClientError) -> [String] {
        try await send(.put, "sys/policies/acl/\(name)", json: .object(["policy": .string(text)])).warnings
    }

    /// Deletes a policy.
    public func deletePolicy(_ name: String) async throws(ClientError) {
        _ = try await delete("sys/policies/acl/\(name)")
    }

    /// `sys/policies/who-can`: which policies grant a capability on a path, and who holds them. Needs `sudo`.
    public func whoCan(_ capability: String, on path: String) async throws(ClientError) -> Answer {
        let body = JSONValue.object(["path": .string(path), "capability": .string(capability)])
        return try await send(.put, "sys/policies/who-can", json: body)
    }

    /// `sys/policies/why`: which rule decides about a capability on a path, and which others lose to it.
    /// - Parameter accessor: of another's token, which needs `sudo`; nil asks about the caller.
    public func why(
        _ capability: String,
        on path: String,
        accessor: String? = nil
    ) async throws(ClientError) -> Answer {
        var members: [JSONValue.Member] = [.init("path", .string(path)), .init("capability", .string(capability))]
        if let accessor { members.append(.init("accessor", .string(accessor))) }
        return try await send(.put, "sys/policies/why", json: .object(members))
    }
}
