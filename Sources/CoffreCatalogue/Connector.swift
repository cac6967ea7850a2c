/// A kind of external system: what its form asks for, and how its credentials are checked, renewed and revoked.
package struct Connector: Sendable {
    /// How a connection signs in.
    package enum AuthKind: String, Sendable, CaseIterable {
        case apiKey = "api_key"
        case botToken = "bot_token"
        case certificate
        case connectionString = "connection_string"
        case iamKeys = "iam_keys"
        case oauth1
        case authorizationCode = "oauth2_authorization_code"
        case clientCredentials = "oauth2_client_credentials"
        case device = "oauth2_device"
        case password
        case serviceAccount = "service_account_jwt"
    }

    /// How a credential is replaced.
    package enum RotationKind: String, Sendable, CaseIterable {
        case api
        case dynamicUser = "db_dynamic_user"
        case manual
        case oauthRefresh = "oauth_refresh"
    }

    /// How a credential is taken back.
    package enum RevocationKind: String, Sendable, CaseIterable {
        case api
        case dropRole = "drop_role"
        case localOnly = "local_only"
        case oauthRevoke = "oauth_revoke"
    }

    /// What tries a connection.
    package enum HealthKind: String, Sendable, CaseIterable {
        case http, mongodb, mysql, none, oracle, postgres, redis, sqlite, tds
    }

    /// How far the description as a whole can be relied on.
    package enum Confidence: String, Sendable, CaseIterable {
        case high, medium, low
    }

    /// How a connection is tried.
    package struct HealthCheck: Sendable {
        /// What tries it.
        package let kind: HealthKind
        /// HTTP method or statement; nil when no check is known.
        package let method: String?
        /// Address with `{name}` in it; nil when no check is known.
        package let url: String?
        /// Headers that it needs besides the token; nil when that is not known.
        package let headers: [(name: String, value: String)]?
        /// Members of the JSON object that is sent; empty for no body.
        package let parameters: [(name: String, value: String)]
        /// What a good answer looks like.
        package let expect: Bilingual
    }

    /// A way of doing something, with the sentence that tells it.
    package struct Way<Kind: Sendable>: Sendable {
        /// Which way.
        package let kind: Kind
        /// How it goes.
        package let how: Bilingual
    }

    /// `[a-z0-9-]`: the type in `connectors/catalogue/<type>`.
    package let id: String
    /// Name of the service.
    package let label: Bilingual
    /// What it is, in a few words.
    package let summary: Bilingual
    /// Id of one of ``Catalogue/categories``.
    package let category: String
    /// How far the description as a whole can be relied on.
    package let confidence: Confidence
    /// How a connection may sign in, the usual way first.
    package let auth: [AuthKind]
    /// The form, in order.
    package let fields: [ConnectorField]
    /// Of each group at least one field is needed.
    package let oneOf: [[String]]
    /// What is known of the service's OAuth; nil when it has none.
    package let oauth: ConnectorOAuth?
    /// How a connection is tried.
    package let healthCheck: HealthCheck
    /// How a credential is replaced.
    package let rotation: Way<RotationKind>
    /// How a credential is taken back.
    package let revocation: Way<RevocationKind>
    /// What is not known.
    package let unknown: [Bilingual]

    /// The field called `name`.
    package func field(_ name: String) -> ConnectorField? { fields.first { $0.name == name } }
}
