/// Why it was decided so. One object per decision rule, encoded once.
package final class AuditWhy: Sendable {
    /// Whether a person had to stand behind the service.
    package enum Subject: String, Sendable {
        case none, optional, required
    }

    private let members: [RecordMember]
    private let encoded: [UInt8]?

    /// Nothing to say: encoded as nothing.
    package static let none = AuditWhy()

    /// - Parameters:
    ///   - right: the capability that was asked for, after `sudo+` when the path wants that too.
    ///   - policy: the policy that decided, with its version and the number of the rule in it.
    ///   - set: digest of the sorted (policy, version) pairs, matrix version and group versions that took part.
    ///   - purpose: from the closed list of purposes.
    ///   - approver: sid of the approving person.
    package init(
        right: String? = nil,
        policy: String? = nil,
        policyVersion: Int? = nil,
        rule: Int? = nil,
        set: String? = nil,
        subject: Subject? = nil,
        purpose: String? = nil,
        ticket: String? = nil,
        breakGlass: Bool = false,
        approver: String? = nil
    ) {
        var members: [RecordMember] = []
        members.add("appr", approver)
        if breakGlass { members.append(RecordMember(key: "bg", value: .flag(true))) }
        members.add("cap", right)
        members.add("pol", policy)
        members.add("polv", policyVersion.map { Int64($0) })
        members.add("purpose", purpose)
        members.add("rule", rule.map { Int64($0) })
        members.add("set", set)
        members.add("sub", subject?.rawValue)
        members.add("ticket", ticket)
        self.members = members
        encoded = RecordMember.encodedOnce(members)
    }

    var isEmpty: Bool { members.isEmpty }

    func append(to buffer: inout ByteBuffer, limit: Int, digest: ValueDigest) {
        if let encoded, encoded.count <= 4 * limit {
            buffer.append(encoded)
        } else {
            _ = RecordMember.append(members, to: &buffer, limit: limit, digest: digest)
        }
    }
}
