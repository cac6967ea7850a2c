public import CoffreWire

/// A successful answer of the vault.
///
/// Most routes wrap their result in an envelope (`data`, `lease_id`, …); a few (`sys/seal-status`, `sys/init`…) answer
/// with the bare object, then the members of ``json`` are the result.
public struct Answer: Sendable {
    /// HTTP status, 200 to 299.
    public let status: Int
    /// The body, nil when there is none (204).
    public let json: JSONValue?

    /// `data`, nil when absent or `null`.
    public var data: JSONValue? { member("data") }
    /// `auth`, nil when absent or `null`.
    public var auth: JSONValue? { member("auth") }
    /// `warnings`, in order.
    public var warnings: [String] { json?["warnings"]?.array?.compactMap(\.string) ?? [] }

    /// The lease of what was handed out, nil when there is none.
    public var lease: Lease? {
        guard let id = json?["lease_id"]?.string, !id.isEmpty else { return nil }
        return Lease(
            id: id,
            duration: .seconds(max(0, json?["lease_duration"]?.integer ?? 0)),
            isRenewable: json?["renewable"]?.bool ?? false
        )
    }

    /// - Throws: ``ClientError`` with `.malformedAnswer` when the body is neither empty nor a JSON object.
    package init(_ raw: RawAnswer) throws(ClientError) {
        status = raw.status
        guard !raw.body.isEmpty else {
            json = nil
            return
        }
        do {
            json = try JSONValue(parsing: raw.body)
        } catch {
            throw ClientError(.malformedAnswer, "the answer is not JSON")
        }
        guard json?.members != nil else { throw ClientError(.malformedAnswer, "the answer is not a JSON object") }
    }

    private func member(_ name: String) -> JSONValue? {
        guard let value = json?[name], value != .null else { return nil }
        return value
    }

    /// `data`, required.
    func requiredData() throws(ClientError) -> JSONValue {
        guard let data else { throw ClientError(.malformedAnswer, "the answer has no data") }
        return data
    }
}

/// A time-bounded grant.
public struct Lease: Sendable, Equatable {
    /// `<request path>/<random>`.
    public let id: String
    /// From now, whole seconds.
    public let duration: Duration
    /// Whether it may be renewed.
    public let isRenewable: Bool

    /// A lease as an answer describes it.
    public init(id: String, duration: Duration, isRenewable: Bool) {
        self.id = id
        self.duration = duration
        self.isRenewable = isRenewable
    }
}
