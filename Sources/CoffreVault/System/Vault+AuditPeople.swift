internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// `sys/audit/subject` and `sys/audit/erase`: whose pseudonym it is, and how nobody can say so any more.
extension Vault {
    private static let subjectPath = "audit/subject/"

    /// - Returns: nil when the path is none of these.
    func auditPeopleEndpoint(_ context: RequestContext, _ rest: String, _ what: AuditWhat) -> Endpoint? {
        switch (rest, context.verb) {
        case ("audit/erase", .write):
            return .change(.sysWrite, what, .sudo(.update)) { vault, context in try await vault.eraseCard(context) }
        case (let path, .get) where path.hasPrefix(Self.subjectPath):
            let sid = String(path.dropFirst(Self.subjectPath.utf8.count))
            let isDisclosed = context.query("disclose").map { $0.utf8.elementsEqual("true".utf8) } ?? false
            var what = what
            what.details += [("disclosed", .flag(isDisclosed)), ("sid", .text(sid))]
            return .inquiry(.auditRead, what, .sudo(.read)) { vault, _ in
                try await vault.showCard(of: sid, withSalt: isDisclosed)
            }
        case (let path, .write) where path.hasPrefix(Self.subjectPath):
            let sid = String(path.dropFirst(Self.subjectPath.utf8.count))
            return .change(.sysWrite, what, .sudo(.update)) { vault, context in
                try await vault.replaceCard(of: sid, context)
            }
        default: return nil
        }
    }

    /// - Parameter withSalt: also what a stranger needs to check the card against the log.
    private func showCard(of sid: String, withSalt: Bool) async throws -> Effect {
        let found = try await onLog { log throws(AuditError) in try log.disclose(sid) }
        guard let found else { throw VaultError.notFound }
        // A card is what this vault has written, or an officer: JSON.
        var members: [JSONValue.Member] = [
            .init("card", try found.withCard { try JSONValue(parsing: Array($0)) }), .init("subject", .string(sid)),
        ]
        if withSalt {
            members.append(.init("commitment", .string(Base64.encode(found.commitment.bytes))))
            members.append(.init("salt", .string(found.withSalt { Base64.encode(Array($0)) })))
            members.append(.init("text", .string(found.withCard { String(decoding: $0, as: UTF8.self) })))
        }
        return Effect(.data(.object(members)))
    }

    /// Rectification: the card is replaced, the record of the old one is supplemented.
    private func replaceCard(of sid: String, _ context: RequestContext) async throws -> Effect {
        let card = try withBody(context) { body in
            guard let body, let card = body["card"], card.isObject else {
                throw VaultError.badRequest("\"card\" must be a JSON object: what resolves the pseudonym")
            }
            return JSONValue(card).encoded()
        }
        let template = logDraft(.subjectUpdate, context, [])
        let record = try await onLog { log throws(AuditError) in
            try log.updateCard(of: sid, card: card) { Self.draft(template, $0, $1) }
        }
        guard let record else { throw VaultError.notFound }
        return Effect(.data(["record": .integer(record), "subject": .string(sid)]))
    }

    private func eraseCard(_ context: RequestContext) async throws -> Effect {
        let (sid, reason, ticket) = try withBody(context) { body in
            (body?["subject"]?.string ?? "", body?["reason"]?.string ?? "", body?["ticket"]?.string ?? "")
        }
        guard let reason = ErasureReason(rawValue: reason), ErasureReason.ofPeople.contains(reason) else {
            let all = ErasureReason.ofPeople.map(\.rawValue).joined(separator: ", ")
            throw VaultError.badRequest("\"reason\" must be one of \(all): no name may stand in the log")
        }
        guard ticket.utf8.count <= 64, ticket.utf8.allSatisfy({ Self.isOfTicket($0) }) else {
            throw VaultError.badRequest("\"ticket\" takes at most 64 digits, letters and - _ . / #")
        }
        let template = logDraft(.erasureRequest, context, ticket.isEmpty ? [] : [("ticket", .text(ticket))])
        // Whoever it was is somebody new from now on, also when the erasure has only begun.
        defer { forgetPeople() }
        let record = try await onLog { log throws(AuditError) in
            try log.erase(sid, reason: reason) { Self.draft(template, $0, $1) }
        }
        guard let record else { throw VaultError.notFound }
        return Effect(.data(["reason": .string(reason.rawValue), "record": .integer(record), "subject": .string(sid)]))
    }

    private static func draft(
        _ template: AuditDraft,
        _ operation: AuditOperation,
        _ details: [AuditWhat.Detail]
    ) -> AuditDraft {
        var draft = template
        draft.operation = operation
        draft.what.details += details
        return draft
    }

    private static func isOfTicket(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x23, 0x2d, 0x2e, 0x2f, 0x5f: true
        default: false
        }
    }
}
