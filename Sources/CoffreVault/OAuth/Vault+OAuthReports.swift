internal import CoffreWire

/// What is shown of grants: everything but the tokens.
extension Vault {
    func describe(_ grant: OAuthGrant) -> JSONValue {
        let life = grant.life
        func time(_ moment: Timestamp?) -> JSONValue { moment.map { .string($0.rfc3339) } ?? .null }
        return [
            "access_token_ends": time(life.accessEnds), "attempts": .integer(life.attempts),
            "consent_due": time(life.consentDue), "consented": time(life.consented),
            "flow": .string(grant.flow.rawValue),
            "generation": .integer(life.generation), "is_unsure": .bool(life.isUnsure),
            "missing_scopes": .strings(grant.missing), "next_refresh": time(life.next),
            "reason": life.reason.map { .string($0) } ?? .null, "renewal": .string(life.renewal.rawValue),
            "renewed": time(life.renewed), "revocation": grant.revocation.map { .string($0) } ?? .null,
            "scopes_asked": .strings(grant.asked),
            "scopes_granted": .strings(grant.granted ?? grant.asked), "state": .string(life.state.rawValue),
            "choices": .object(
                grant.choices.sorted { $0.key < $1.key }.map { .init($0.key, .array($0.value.map(\.json))) }
            ),
            "values": .object(grant.learnt),
        ]
    }

    /// A line of the overview of rotations, with the days that it was within its limit. Only what is replaced counts: a
    /// refresh token that a provider never replaces is as old as its consent.
    func rotation(
        of connection: Connection,
        at now: Timestamp
    ) -> (row: JSONValue, within: Int64, all: Int64)? {
        guard let grant = unsealed?.grants[connection.id], grant.life.generation > 0 else { return nil }
        let life = grant.life
        // The client's own tokens live for minutes; its secret has a line of its own.
        guard life.renewal != .client, life.state != .revoked else { return nil }
        let days = grant.ages.compliance(
            OAuthGrant.credential,
            set: life.replaced,
            days: connection.rotationDays,
            since: connection.created,
            at: now
        )
        let isAutomatic = life.renewal == .refreshToken && life.lives.rotates
        let row: JSONValue = [
            "age_days": .integer((now.seconds - life.replaced.seconds) / 86_400), "automatic": .bool(isAutomatic),
            "connection": .string(connection.name),
            "due": .string(life.replaced.adding(seconds: connection.rotationDays * 86_400).rfc3339),
            "failure": life.reason.map { .string($0) } ?? .null, "is_unsure": .bool(life.isUnsure),
            "next_attempt": life.next.map { .string($0.rfc3339) } ?? .null,
            "secret": .string(OAuthGrant.credential), "since": .string(life.replaced.rfc3339),
            "state": .string(life.state.rawValue),
        ]
        return (row, days.within, days.all)
    }
}

extension ConnectionFailure {
    /// What a provider's refusal of a trial means.
    init(_ problem: OAuthProblem) {
        switch problem {
        case .unknownHost: self.init(BrokerFailure(.dns))
        case .unreachable: self.init(BrokerFailure(.refused))
        case .egressRefused: self.init(BrokerFailure(.egressDenied))
        case .tls: self.init(BrokerFailure(.tls))
        case .timeout: self.init(BrokerFailure(.timeout))
        case .busy, .temporary, .interrupted: self.init(BrokerFailure(.unavailable))
        case .invalidToken:
            self.init(
                code: "token",
                english: "The provider does not accept the access token: refresh it (rotate), or connect again.",
                french: "Le fournisseur refuse le jeton d’accès : rafraîchissez-le (rotate) ou reconnectez."
            )
        case .insufficientScope:
            self.init(
                code: "scope",
                english: "The access token does not cover this call: connect again with more scopes.",
                french: "Le jeton d’accès ne couvre pas cet appel : reconnectez avec plus de portées."
            )
        default:
            self.init(
                code: "provider",
                english: "The provider refuses the call: \(problem.sentence).",
                french: "Le fournisseur refuse l’appel : vérifiez les champs de la connexion."
            )
        }
    }
}
