package import CoffreCrypto

/// One parsed request of the socket, before any decision.
package struct VaultRequest: Sendable {
    /// What is asked; `POST` and `PUT` are the same, a `GET` with `list=true` stays `.get` until the vault reads the query.
    package enum Verb: String, Sendable {
        case get = "GET"
        case head = "HEAD"
        case write = "PUT"
        case patch = "PATCH"
        case delete = "DELETE"
        case list = "LIST"
        case scan = "SCAN"
        /// Any other token: answered 405.
        case other = "OTHER"
    }

    package struct QueryItem: Sendable, Equatable {
        package let name: String
        package let value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package var verb: Verb
    /// Percent-decoded once, UTF-8, without the leading `/v1/`; may end in a slash. Control bytes, empty, `.` and `..`
    /// segments have been refused before.
    package var path: [UInt8]
    /// In order of appearance, percent-decoded; at most 64 items.
    package var query: [QueryItem]
    /// `X-Vault-Token`, or the credentials of `Authorization: Bearer`.
    package var token: SharedSecret?
    /// `X-Vault-Wrap-TTL`, unparsed.
    package var wrapTTL: String?
    /// `X-Vault-Namespace`, unparsed.
    package var namespace: String?
    package var contentType: String?
    /// `X-Coffre-Subject`: the ID token of the person for whom a service asks. Gone once it has been looked at.
    package var subject: SharedSecret?
    /// The whole body, nil when empty.
    package var body: SharedSecret?
    /// `CLOCK_MONOTONIC` in nanoseconds when the last byte of the request arrived.
    package var acceptedAt: UInt64

    package init(
        verb: Verb,
        path: [UInt8],
        query: [QueryItem] = [],
        token: SharedSecret? = nil,
        wrapTTL: String? = nil,
        namespace: String? = nil,
        contentType: String? = nil,
        subject: SharedSecret? = nil,
        body: SharedSecret? = nil,
        acceptedAt: UInt64
    ) {
        self.verb = verb
        self.path = path
        self.query = query
        self.token = token
        self.wrapTTL = wrapTTL
        self.namespace = namespace
        self.contentType = contentType
        self.subject = subject
        self.body = body
        self.acceptedAt = acceptedAt
    }
}

/// A request that the HTTP layer refuses before the vault can look at it. It is recorded like any other.
package struct RefusedRequest: Sendable {
    package enum Reason: String, Sendable {
        case malformed = "malformed"
        case badPath = "bad_path"
        case headersTooLarge = "headers_too_large"
        case bodyTooLarge = "body_too_large"
        case timeout = "timeout"
        case badVersion = "bad_version"
        case methodNotAllowed = "method"
    }

    package let reason: Reason
    /// 400, 405, 408, 413, 431 or 505.
    package let status: Int
    /// One safe sentence for the `errors` array.
    package let message: String
    /// The request target as received (at most 8 KiB kept), for its keyed digest; never written in clear.
    package let target: [UInt8]
    package let acceptedAt: UInt64

    package init(reason: Reason, status: Int, message: String, target: [UInt8], acceptedAt: UInt64) {
        self.reason = reason
        self.status = status
        self.message = message
        self.target = target
        self.acceptedAt = acceptedAt
    }
}
