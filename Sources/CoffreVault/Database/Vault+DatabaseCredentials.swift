internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// `database/creds/<role>`: a login made for this request.
    ///
    /// Order (each step durable before the next): intent record and lease row `preparing`; the job; lease `active`; outcome
    /// record; answer. A start revokes every `preparing` lease, so a crash at any point leaves no orphan.
    func credentialsEndpoint(
        _ context: RequestContext,
        _ place: DatabasePlace,
        _ name: String,
        _ what: AuditWhat
    ) -> Endpoint {
        var what = what
        let leaseID = context.pathText + "/" + Random.base62(24)
        what.lease = leaseID
        return .change(.leaseIssue, what, .capability(.read)) { vault, context in
            try await vault.issueLogin(leaseID, place, roleName: name, context)
        }
    }

    private func issueLogin(
        _ leaseID: String,
        _ place: DatabasePlace,
        roleName: String,
        _ context: RequestContext
    ) async throws -> Effect {
        guard let state = unsealed, let caller = context.caller else { throw VaultError.sealed }
        guard let role = try databaseRole(place, roleName) else {
            throw VaultError.badRequest("unknown role: \(roleName)")
        }
        guard let configuration = try databaseConfiguration(place, role.connection),
            let password = try barrier.get(place.password(role.connection))?.value
        else {
            throw VaultError.badRequest("the role names the configuration \"\(role.connection)\", which does not exist")
        }
        guard configuration.allows(roleName) else {
            throw VaultError.permissionDenied
        }
        let target = try DatabaseTarget(configuration)
        try checkLeaseCount(of: caller)
        let lifetime = lifetime(of: role, place.mount)
        let username = Self.makeUsername(role: roleName)
        var lease = LeaseRecord(
            id: leaseID,
            issued: context.now,
            expires: context.now.adding(seconds: lifetime.ttl),
            latest: context.now.adding(seconds: lifetime.maximum),
            owner: caller.owner,
            connection: place.connectionID(role.connection),
            username: username,
            revocationStatements: role.revocation,
            renewStatements: role.renewal
        )
        let login = try NewLogin(
            username: username,
            password: try makePassword(configuration),
            expires: lease.expires
        )
        guard state.mounts.mount(id: place.mount.id) != nil else { throw VaultError.notFound }
        let item = LeaseSchedule.Item.lease(leaseID)
        // Until this request is over nobody takes the lease for one whose login can be revoked.
        state.preparing.insert(leaseID)
        defer { state.preparing.remove(leaseID) }
        _ = try await commit(storing(lease))
        do {
            try await createLogin(
                login,
                statements: role.creation,
                target,
                of: lease.connection,
                password: password
            )
            lease.state = .active
            let generation = try await activate(lease, for: caller, state) {
                state.mounts.mount(id: place.mount.id) != nil
            }
            state.leases.schedule(item, at: lease.expires)
            var reply = Reply.data(login.answer)
            reply.leaseID = leaseID
            reply.isRenewable = true
            reply.leaseDuration = lease.remaining(at: clock.now())
            return Effect(reply, generation: generation)
        } catch {
            await abandon(leaseID, after: error, state)
            throw error
        }
    }

    /// A password of the configuration's policy, or of 32 letters and digits.
    func makePassword(_ configuration: DatabaseConfiguration) throws -> SharedSecret {
        configuration.passwordPolicy.isEmpty
            ? Random.secretBase62(32) : try generatePassword(policy: configuration.passwordPolicy)
    }

    private func lifetime(of role: DatabaseRole, _ mount: Mount) -> (ttl: Int64, maximum: Int64) {
        let limits = self.lifetime(of: mount)
        let maximum = min(role.maximumTTL > 0 ? role.maximumTTL : limits.maximum, limits.maximum)
        let ttl = role.defaultTTL > 0 ? role.defaultTTL : limits.standard
        return (min(ttl, maximum), maximum)
    }

    /// `coffre_<role>_<16 base36>`: at most 63 bytes of `[a-z0-9_]`.
    static func makeUsername(role: String) -> String {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789".utf8)
        let middle = role.lowercased().utf8.map { alphabet.contains($0) ? $0 : 0x5f }.prefix(32)
        let random = (0..<16).map { _ in alphabet[Int(Random.number(below: 36))] }
        return "coffre_" + String(decoding: middle, as: UTF8.self) + "_" + String(decoding: random, as: UTF8.self)
    }
}

/// A login before it exists: name, password, and the form in which the server gets the latter.
struct NewLogin: Sendable {
    let username: String
    let password: SharedSecret
    let verifier: String
    let expires: Timestamp

    init(username: String, password: SharedSecret, expires: Timestamp) throws(VaultError) {
        self.username = username
        self.expires = expires
        self.password = password
        do throws(CryptoError) {
            verifier = try ScramVerifier.make(password: password)
        } catch {
            throw VaultError(.internalError, "internal error", cause: error)
        }
    }

    var answer: ResponseBody {
        var body = ResponseBody()
        body.append(text: #"{"password":"#)
        body.append(password.asJSONText)
        body.append(text: #","username":"\#(username)"}"#)
        return body
    }

    /// Statement texts with their placeholders filled in; `{{password}}` becomes the verifier.
    func expand(_ statement: String) -> String { Self.expand(statement, username, expires, password: verifier) }

    static func expand(_ statement: String, _ username: String, _ expires: Timestamp, password: String?) -> String {
        var values = ["name": username, "username": username, "expiration": expires.postgres]
        values["password"] = password
        var result = ""
        var rest = Substring(statement)
        while let open = rest.firstRange(of: "{{") {
            result += rest[..<open.lowerBound]
            guard let close = rest[open.upperBound...].firstRange(of: "}}"),
                let value = values[String(rest[open.upperBound..<close.lowerBound])]
            else {
                result += "{{"
                rest = rest[open.upperBound...]
                continue
            }
            result += value
            rest = rest[close.upperBound...]
        }
        return result + rest
    }
}

extension Timestamp {
    /// As Vault writes `{{expiration}}` for PostgreSQL: `2026-11-23 16:40:11+0000`.
    var postgres: String {
        let text = Timestamp(seconds: seconds).rfc3339
        return text.dropLast().replacing("T", with: " ") + "+0000"
    }
}
