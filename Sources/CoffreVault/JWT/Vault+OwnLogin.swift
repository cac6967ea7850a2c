internal import CoffreCrypto

/// Which tokens are for a person's own login, and which are for a service to show: never both, or the service could log in
/// as each person whose token it was given.
extension Vault {
    /// A place where tokens of people are believed that a service shows.
    private struct ShowingPlace: Hashable {
        let mount: [UInt8]
        let role: [UInt8]
    }

    /// Refuses a login with what a service shows: by its role, by its client, or by what it was used for.
    /// - Parameter issuer: of the mount's configuration; empty for any.
    /// - Throws: ``VaultError`` `.badRequest` with the reason.
    func checkOwnLogin(
        _ person: JWTPerson,
        _ role: JWTRole,
        _ mount: Mount,
        _ issuer: String,
        _ context: RequestContext
    ) throws {
        guard let state = unsealed else { throw VaultError.sealed }
        let places = Set(
            state.peerRoles.values.filter { !$0.subjectRole.isEmpty }.map {
                ShowingPlace(mount: Array("auth/\($0.subjectMount)/".utf8), role: Array($0.subjectRole.utf8))
            }
        )
        for place in places {
            let isHere = place.mount.elementsEqual(mount.path.utf8)
            if isHere, place.role.elementsEqual(role.name.utf8) {
                throw VaultError.badRequest(
                    "the role \"\(role.name)\" is for tokens that a service shows (subject_role of a peer role): nobody logs "
                        + "in with it. Make another, with bound_audiences of another client"
                )
            }
            guard let there = state.mounts.mount(at: String(decoding: place.mount, as: UTF8.self)), there.type == .jwt,
                let showing = try jwtRole(JWTPlace(mount: there), String(decoding: place.role, as: UTF8.self)),
                try isHere || isSameProvider(there, issuer)
            else { continue }
            for client in showing.boundAudiences
            where person.clients.contains(where: { $0.utf8.elementsEqual(client.utf8) }) {
                throw VaultError.badRequest(
                    "this token is for a service that shows it (aud or azp): sign in with another client to log in"
                )
            }
        }
        if state.shownTokens.contains(shownDigest(person, state), now: context.now.seconds) {
            throw VaultError.badRequest("a service has shown this token: nobody logs in with it any more")
        }
    }

    /// Whether tokens of a mount may be those of another, by their configured issuers.
    private func isSameProvider(_ mount: Mount, _ issuer: String) throws -> Bool {
        guard let other = try jwtConfiguration(JWTPlace(mount: mount))?.issuer else { return false }
        return issuer.isEmpty || other.isEmpty || other.utf8.elementsEqual(issuer.utf8)
    }
}
