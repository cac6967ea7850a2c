/// What is known of a service's OAuth. Addresses may hold `{name}`: a field of the form, or a value that ``learns`` names.
package struct ConnectorOAuth: Sendable {
    /// Whether proof keys are used (RFC 7636).
    package enum PKCE: String, Sendable, CaseIterable {
        case unsupported = "no"
        case supported, required
    }

    /// Where the client's identity goes in a token request (RFC 6749 §2.3.1).
    package enum ClientAuthentication: String, Sendable, CaseIterable {
        case basic, post
        /// Either will do.
        case both
    }

    /// A value that is not in the form: it comes with the consent, or after it.
    package struct Learnt: Sendable, Equatable {
        /// Where it comes from.
        package enum Source: String, Sendable, CaseIterable {
            /// A parameter of the callback.
            case callback
            /// A member of the token answer.
            case token
            /// A call of its own.
            case call
        }

        /// As it stands in addresses.
        package let name: String
        /// Where it comes from.
        package let source: Source
        /// Parameter, member, or the address to call.
        package let member: String
        /// Of a call: where the values stand in its answer, such as `*.id`.
        package let path: String?
        /// Of a call: where the name that people know each value by stands.
        package let title: String?
        /// Of a call: the field that chooses among several, by the value or by its name.
        package let field: String?
    }

    /// The statement that an account of a service signs for its tokens (RFC 7523 §2.1).
    package struct Assertion: Sendable, Equatable {
        /// The secret field with the key.
        package let key: String
        /// The field with `iss`, which then needs a `sub` too; nil where the key itself says it.
        package let issuer: String?
        /// The field with `sub`: for whom it acts; nil for none.
        package let subject: String?
        /// `aud`; may hold `{name}`.
        package let audience: String
        /// Whether scopes are asked for; otherwise they are those that were agreed to at the provider.
        package let hasScopes: Bool
        /// Seconds that it is valid for.
        package let seconds: Int64
    }

    /// Where people consent; nil when no person does.
    package let authorizationURL: String?
    /// Where tokens are issued.
    package let tokenURL: String
    /// Where tokens are revoked; nil when none is documented.
    package let revocationURL: String?
    /// Where a device starts (RFC 8628); nil when none is documented.
    package let deviceURL: String?
    /// Where OAuth 1.0a starts; nil for OAuth 2.
    package let requestTokenURL: String?
    /// How OAuth 1.0a signs; nil for OAuth 2.
    package let signatureMethod: String?
    /// Whether proof keys are used.
    package let pkce: PKCE
    /// Where the client's identity goes; nil for OAuth 1.0a.
    package let clientAuthentication: ClientAuthentication?
    /// What stands between two scopes.
    package let scopeSeparator: String
    /// The least that is needed to read.
    package let scopes: [String]
    /// More parameters of the authorization address, in order.
    package let parameters: [(name: String, value: String)]
    /// Headers that its token requests need.
    package let headers: [(name: String, value: String)]
    /// Life of an access token in seconds; nil when unpublished or without end. `expires_in` of an answer wins.
    package let accessTokenSeconds: Int64?
    /// First limit that an *unused* refresh token meets, in seconds; nil when unpublished or without end.
    package let refreshIdleSeconds: Int64?
    /// Life of the whole grant from the consent in seconds, which no refresh moves; nil when there is no such limit.
    package let grantSeconds: Int64?
    /// Whether a refresh replaces the refresh token; nil when unpublished: behave as if it did.
    package let refreshRotates: Bool?
    /// For how many seconds a replaced refresh token still works; nil when it does not, or unpublished.
    package let refreshGraceSeconds: Int64?
    /// Values that come with the consent, or after it.
    package let learns: [Learnt]
    /// How an account of a service signs; nil where there is no such way.
    package let assertion: Assertion?
    /// The secret field with a certificate and its key by which the client may prove itself (RFC 7523 §2.2); nil for none.
    package let clientKey: String?
    /// What is special, as keys of ``Catalogue/quirks``; sorted.
    package let quirks: [String]
}
