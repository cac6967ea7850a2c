/// Who acted: pseudonyms for people, names in clear for services. One object per principal, encoded once.
package final class AuditWho: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case human, service, admin, system
    }

    package let kind: Kind
    /// Pseudonym of the acting subject.
    package let sid: String
    /// Pseudonym of the person for whom it acts.
    package let forSid: String?
    private let members: [RecordMember]
    private let encoded: [UInt8]?

    /// The daemon itself.
    package static let system = AuditWho(kind: .system, sid: "s-system")

    /// - Parameters:
    ///   - sid: what the token or peer role says (``AuditLog/subject(kind:uid:entity:card:)``).
    ///   - kernelSid: pseudonym of the kernel's uid when that is a person.
    ///   - uid: in clear for services only; nil for people.
    ///   - gid: in clear for services only.
    ///   - unit: the systemd system unit.
    ///   - tokenAccessor: the public handle of the token, never the token.
    ///   - forSid: pseudonym of the person a service acts for.
    ///   - tokenDigest: keyed digest of that person's token id.
    package init(
        kind: Kind,
        sid: String,
        kernelSid: String? = nil,
        uid: UInt32? = nil,
        gid: UInt32? = nil,
        pid: Int32? = nil,
        unit: String? = nil,
        team: String? = nil,
        tokenAccessor: String? = nil,
        forSid: String? = nil,
        tokenDigest: String? = nil
    ) {
        self.kind = kind
        self.sid = sid
        self.forSid = forSid
        var members: [RecordMember] = []
        members.add("for", forSid)
        members.add("gid", gid.map { Int64($0) })
        members.add("jti", tokenDigest)
        members.add("kind", kind.rawValue)
        members.add("ksid", kernelSid)
        members.add("pid", pid.map { Int64($0) })
        members.add("sid", sid)
        members.add("team", team)
        members.add("tok", tokenAccessor)
        members.add("uid", uid.map { Int64($0) })
        members.add("unit", unit)
        self.members = members
        encoded = RecordMember.encodedOnce(members)
    }

    func append(to buffer: inout ByteBuffer, limit: Int, digest: ValueDigest) {
        if let encoded, encoded.count <= 4 * limit {
            buffer.append(encoded)
        } else {
            _ = RecordMember.append(members, to: &buffer, limit: limit, digest: digest)
        }
    }
}
