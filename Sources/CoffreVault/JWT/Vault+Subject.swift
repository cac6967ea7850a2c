internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// The person for whom a service asks (`X-Coffre-Subject`), known by a token of the provider.
struct ActingPerson: Sendable {
    let entityID: String
    /// Of the role by which the token was believed; what the entity and its groups add is looked up at each decision.
    let policies: [String]
    /// Pseudonym, for records.
    let sid: String
    /// Keyed digest of the token's id, for records.
    let tokenDigest: String
}

/// A person's part in a decision: the service has its own, and both must allow.
final class PersonPart: Sendable {
    let entityID: String
    let policySet: PolicySet
    /// The entity of the service; empty when it has none.
    let serviceEntityID: String

    init(entityID: String, policySet: PolicySet, serviceEntityID: String) {
        self.entityID = entityID
        self.policySet = policySet
        self.serviceEntityID = serviceEntityID
    }
}

extension Vault {
    /// Decides, carries out and records one request; `completion` runs on this actor's executor.
    package func perform(
        _ request: VaultRequest,
        as principal: Principal,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        guard let subject = request.subject else {
            return perform(request, as: principal, for: nil, completion: completion)
        }
        // From here on nobody holds the token but who looks at it.
        var request = request
        request.subject = nil
        guard unsealed != nil, holdReason == nil else {
            return perform(request, as: principal, for: .failure(.sealed), completion: completion)
        }
        let bare = request
        Task {
            let person: Result<ActingPerson, VaultError>
            do {
                person = .success(try await self.person(shownBy: principal, with: subject, bare))
            } catch {
                person = .failure(VaultError(mapping: error))
            }
            self.perform(bare, as: principal, for: person, completion: completion)
        }
    }

    /// Whom the token names, after every check.
    /// - Throws: ``VaultError`` `.permissionDenied` with the reason.
    private func person(
        shownBy principal: Principal,
        with subject: SharedSecret,
        _ request: VaultRequest
    ) async throws -> ActingPerson {
        guard let state = unsealed else { throw VaultError.sealed }
        let context = RequestContext(request, principal: principal, now: clock.now())
        // Who has no rights here learns nothing of anybody's token either.
        let service = try service(of: context, state)
        let place = try subjectPlace(service, principal, state)
        guard let mount = state.mounts.mount(at: place.mount), mount.type == .jwt else {
            throw Self.refused("there is no jwt auth method at the subject_mount of this service's peer role")
        }
        let loaded = try await loadedJWT(mount)
        guard unsealed === state else { throw VaultError.sealed }
        guard let role = try jwtRole(JWTPlace(mount: mount), place.role) else {
            throw Self.refused("the subject_role of this service's peer role does not exist")
        }
        let person: JWTPerson
        do throws(JWTRefusal) {
            let token = try subject.withBytes { bytes throws(JWTRefusal) in try JWTToken(bytes) }
            let check = loaded.check(role)
            person = try check.person(of: token, now: context.now)
            try check.checkShown(token, now: context.now)
        } catch {
            if error.unknownKey != nil { lookForKeys(mount, loaded) }
            throw Self.refused(loaded.reason(error, mount: mount))
        }
        let digest = try await checkFirstUse(person, mount, principal, state)
        let entity = try await entity(of: person, mount, context, shownBy: role)
        return ActingPerson(
            entityID: entity.id,
            policies: role.allPolicies,
            sid: personSID(mount, person.alias),
            tokenDigest: digest
        )
    }

    private static func refused(_ reason: String) -> VaultError {
        VaultError(.permissionDenied, "X-Coffre-Subject: \(reason)")
    }

    /// By which mount and role the tokens of a service are believed.
    private func subjectPlace(_ service: Caller, _ principal: Principal, _ state: UnsealedState) throws
        -> (mount: String, role: String)
    {
        let roles = showingRoles(service.token, principal, state)
        guard !roles.isEmpty else {
            throw Self.refused("it goes with the rights of a peer role, not with a token of another kind")
        }
        guard !roles.contains(where: { $0.subject == .forbidden }) else {
            throw Self.refused("a peer role of this service forbids to act for a person")
        }
        let places = Set(roles.filter { !$0.subjectRole.isEmpty }.map { [$0.subjectMount, $0.subjectRole] })
        guard let place = places.first else {
            throw Self.refused("the peer role of this service has no subject_role, so no token is believed")
        }
        guard places.count == 1 else {
            throw Self.refused("peer roles of this service name different subject_roles: let one alone name it")
        }
        return ("auth/\(place[0])/", place[1])
    }

    /// The peer roles whose rights a service uses: those that fit its process, or the one that it logged in with.
    func showingRoles(_ token: TokenEntry?, _ principal: Principal, _ state: UnsealedState) -> [PeerRole] {
        guard let token else { return state.peerRoles.values.filter { $0.isAmbient && $0.matches(principal) } }
        guard token.path == "auth/peer/login", let name = token.meta["role"], let role = state.peerRoles[name],
            role.matches(principal)
        else { return [] }
        return [role]
    }

    /// Whether credentials of connections are for people alone: leaving the person out must not widen rights, and neither
    /// may a token that the service got in its own name.
    func demandsPerson(_ token: TokenEntry?, _ principal: Principal, _ state: UnsealedState) -> Bool {
        func demands(_ role: PeerRole) -> Bool { role.subject == .standard || role.subject == .required }
        guard let token else { return showingRoles(nil, principal, state).contains(where: demands) }
        guard token.boundUID != nil else { return false }
        // Those that it came from. Also when one is gone or no longer fits: nobody can say any more that it may do without.
        let isDemanded = token.peerRoles.contains { name in
            state.peerRoles[name].map { demands($0) || !$0.matches(principal) } ?? true
        }
        if isDemanded { return true }
        if token.path == "auth/peer/login" {
            // Also when its role is gone: nobody can say any more that it may do without.
            return showingRoles(token, principal, state).first.map(demands) ?? true
        }
        guard token.path.hasPrefix("auth/token/create") else { return false }
        return state.peerRoles.values.contains { $0.matches(principal) && demands($0) }
    }

    /// The name under which shown tokens are remembered, the same at every mount.
    func shownDigest(_ person: JWTPerson, _ state: UnsealedState) -> Digest {
        person.identity.withBytes { state.tokenKey.authenticate($0) }
    }

    /// Whether a token came from a peer role that is never used without a person, whatever the role said when it was made.
    func requiresPerson(_ token: TokenEntry, _ state: UnsealedState) -> Bool {
        token.peerRoles.contains { state.peerRoles[$0]?.subject == .required }
    }

    /// The same token from another service is a finding: somebody has copied it.
    /// - Returns: the digest of the token for records.
    private func checkFirstUse(
        _ person: JWTPerson,
        _ mount: Mount,
        _ principal: Principal,
        _ state: UnsealedState
    ) async throws -> String {
        let hash = shownDigest(person, state)
        let digest = person.identity.withBytes { audit.keyedDigest($0, domain: "subject token") }
        let now = clock.now().seconds
        let presenter = ShownTokens.Presenter(principal)
        // Later than that any token is too old to be shown, by whatever role, and whatever it says of its end.
        let endsAt = now + JWTCheck.maximumAge + JWTRole.maximumSkew + 1
        switch state.shownTokens.show(hash, by: presenter, endsAt: endsAt, now: now) {
        case .first, .again: return digest
        case .full:
            throw VaultError(.rateLimited, "X-Coffre-Subject: too many different tokens are in use at this moment")
        case .replayed(let isNew):
            if isNew { try await tellOfReplay(person, mount, principal, digest) }
            throw Self.refused("this token was shown by another service before: it belongs to that one alone")
        }
    }

    private func tellOfReplay(
        _ person: JWTPerson,
        _ mount: Mount,
        _ principal: Principal,
        _ digest: String
    ) async throws {
        let kernel = who(of: principal)
        let draft = AuditDraft(
            .anomalyRaise,
            outcome: .denied,
            error: "subject_replayed",
            correlation: Random.base62(16),
            acceptedAt: clock.monotonic(),
            who: AuditWho.system,
            what: AuditWhat(
                details: [
                    ("kind", .text("subject_replayed")), ("token", .text(digest)), ("mount", .text(mount.path)),
                    ("by", .text(kernel.sid)), ("unit", .text(principal.unit ?? "")),
                    ("for", .text(personSID(mount, person.alias))),
                ]
            )
        )
        try await appendRecord(draft)
        journal(
            true,
            "a token of a person was shown by a second service and refused",
            ["uid": "\(principal.uid)", "unit": principal.unit ?? ""]
        )
    }

    // MARK: deciding

    /// What a service may do for a person: what both may.
    func caller(_ service: Caller, for person: ActingPerson, _ context: RequestContext, _ state: UnsealedState) throws
        -> Caller
    {
        guard let entity = state.identity.entities[person.entityID], !entity.isDisabled else {
            throw VaultError.permissionDenied
        }
        let policies = Set(person.policies + state.identity.policies(of: entity)).sorted()
        let own = acl(of: policies, entity, state)
        let part = PersonPart(
            entityID: entity.id,
            policySet: PolicySet(policies, state.policies, subject: subject(of: entity, state)),
            serviceEntityID: service.entityID
        )
        return Caller(
            who: makeWho(
                context.principal,
                sid: service.token.flatMap { tokenSID($0) },
                accessor: service.token?.accessor,
                forSid: person.sid,
                tokenDigest: person.tokenDigest
            ),
            acl: service.acl.and(own),
            policySet: service.policySet,
            subject: service.subject,
            token: service.token,
            policies: service.policies,
            owner: LeaseOwner(holder: service.owner, person: entity.id).text,
            entityID: entity.id,
            person: part
        )
    }

    /// The facts of a record, with the person's policies where there is a person: `why` names those of the service, or
    /// those of the person when it was the person who was refused.
    /// - Parameter isTouch: whether a decoy was asked for; never in an intent, only in the record of how it ended.
    func recorded(_ what: AuditWhat, _ context: RequestContext, isTouch: Bool) -> AuditWhat {
        let decoy = isTouch ? context.decoy : nil
        let person = context.caller?.person
        guard decoy != nil || person != nil else { return what }
        var what = what
        if let person {
            what.details.removeAll { $0.key == "for_set" }
            what.details.append(("for_set", .text(person.policySet.digest)))
        }
        if let decoy { what.mark(decoy: decoy) }
        return what
    }
}
