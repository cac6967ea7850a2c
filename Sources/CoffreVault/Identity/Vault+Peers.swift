internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension BarrierKey {
    static func peerRole(_ name: String) -> BarrierKey {
        BarrierKey(namespace: .peerRole, parent: [], name: Array(name.utf8))
    }
}

extension Vault {
    func peerEndpoint(_ context: RequestContext, _ state: UnsealedState) throws -> Endpoint? {
        let rest = String(decoding: context.path.dropFirst("auth/peer/".utf8.count), as: UTF8.self)
        var what = AuditWhat()
        what.path = "auth/peer/" + rest
        if rest == "role" {
            guard context.verb == .list || context.verb == .get else { return .unsupported(what, .list) }
            return .read(.sysRead, what, .capability(.list)) { vault, _ in
                let names = vault.unsealed?.peerRoles.keys.sorted() ?? []
                guard !names.isEmpty else { throw VaultError.notFound }
                return Effect(.data(.object(["keys": .strings(names)])))
            }
        }
        guard rest.hasPrefix("role/") else { return nil }
        let name = String(rest.dropFirst(5))
        guard isName(name) else { return nil }
        switch context.verb {
        case .get:
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let role = vault.unsealed?.peerRoles[name] else { throw VaultError.notFound }
                return Effect(.data(role.json))
            }
        case .write:
            return .change(.authChange, what, .capability(state.peerRoles[name] == nil ? .create : .update)) {
                vault,
                context in
                try await vault.putPeerRole(name, context)
            }
        case .delete:
            return .change(.authChange, what, .capability(.delete)) { vault, _ in
                try await vault.storePeerRole(nil, named: name, .delete(.peerRole(name), expect: .any))
            }
        default: return .unsupported(what)
        }
    }

    private func putPeerRole(_ name: String, _ context: RequestContext) async throws -> Effect {
        let role = try withBody(context) { body in
            guard let body else { throw VaultError.badRequest("the body names the role's selectors and policies") }
            return try PeerRole(
                name: name,
                body,
                maximumTTL: configuration.maximumTokenTTL,
                groupID: configuration.groupID
            )
        }
        return try await storePeerRole(role, named: name, .put(.peerRole(name), role.encoded, expect: .any))
    }

    /// One writer of a role after the other, so that what is in memory is what is stored.
    private func storePeerRole(_ role: PeerRole?, named name: String, _ change: BarrierMutation) async throws -> Effect
    {
        guard let state = unsealed else { throw VaultError.sealed }
        return try await state.locks.withLock(Array("peer/\(name)".utf8)) {
            let generation = try await commit([change])
            state.peerRoles[name] = role
            state.forgetCallers()
            return Effect(.noContent, generation: generation)
        }
    }

    /// `auth/peer/login`: a token for this very process, bound to its uid and unit.
    func peerLogin() -> Endpoint {
        var what = AuditWhat()
        what.path = "auth/peer/login"
        return .change(.authOk, what, .anyone) { vault, context in
            guard let state = vault.unsealed else { throw VaultError.sealed }
            let wanted = try vault.withBody(context) { $0?["role"]?.string }
            let roles = state.peerRoles.values
                .filter { $0.matches(context.principal) && (wanted == nil || $0.name == wanted) }
                .sorted { $0.name < $1.name }
            guard let role = roles.first else {
                throw VaultError.badRequest("no peer role fits this process: ask an administrator for one")
            }
            guard roles.count == 1 else {
                throw VaultError.badRequest("several peer roles fit this process: name one in \"role\"")
            }
            guard role.subject != .required else { throw VaultError.permissionDenied }
            var request = TokenRequest()
            request.policies = role.policies + ["default"]
            request.ttl = role.ttl
            request.displayName = "peer-" + role.name
            request.meta = ["role": role.name]
            request.peerRoles = [role.name]
            request.isOrphan = true
            let entity = vault.peerEntity(context.principal, state)
            if entity?.isDisabled ?? false { throw VaultError.permissionDenied }
            request.entityID = entity?.id ?? ""
            return try await vault.issueToken(
                request,
                context,
                path: "auth/peer/login",
                binding: (context.principal.uid, context.principal.unit)
            )
        }
    }

    /// Names of roles, policies and configurations: 1–128 characters of `[A-Za-z0-9._-]`, no leading or trailing stop.
    func isName(_ name: String) -> Bool { Self.isRoleName(name) }

    static func isRoleName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count) && !name.hasPrefix(".") && !name.hasSuffix(".")
            && name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d
                    || $0 == 0x5f || $0 == 0x2e
            }
    }
}
