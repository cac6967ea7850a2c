internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// `sys/audit/prune` and `sys/audit/holds`: what is deleted from the log, and what must not be.
extension Vault {
    /// Segments that one request may delete: each takes up to half a second.
    private static let mostSegments = 20

    /// - Returns: nil when the path is none of these.
    func auditRetentionEndpoint(_ context: RequestContext, _ rest: String, _ what: AuditWhat) -> Endpoint? {
        switch (rest, context.verb) {
        case ("audit/prune", .get):
            return .inquiry(.auditRead, what, .sudo(.read)) { vault, context in
                try await vault.pruneLog(context, isDry: true)
            }
        case ("audit/prune", .write):
            return .change(.sysWrite, what, .sudo(.update)) { vault, context in
                try await vault.pruneLog(context, isDry: false)
            }
        case ("audit/holds", .get), ("audit/holds", .list):
            return .inquiry(.auditRead, what, .capability(context.verb == .get ? .read : .list)) { vault, _ in
                let holds = try await vault.onLog { log throws(AuditError) in try log.holds() }
                return Effect(
                    .data([
                        "keys": .strings(holds.map(\.id)),
                        "key_info": .object(holds.map { .init($0.id, Self.json($0)) }),
                    ])
                )
            }
        case ("audit/holds", .write):
            return .change(.sysWrite, what, .sudo(.update)) { vault, context in try await vault.setHold(context) }
        case (let path, .delete) where path.hasPrefix("audit/holds/"):
            let id = String(path.dropFirst("audit/holds/".utf8.count))
            guard LegalHold.isValidID(id) else { return nil }
            return .change(.sysWrite, what, .sudo(.delete)) { vault, context in
                let draft = vault.logDraft(.holdClear, context, [("id", .text(id))])
                let isDone = try await vault.onLog { log throws(AuditError) in try log.clearHold(id, draft) }
                guard isDone else { throw VaultError.notFound }
                return Effect(.noContent)
            }
        default: return nil
        }
    }

    /// A record of the log that somebody has asked for.
    func logDraft(
        _ operation: AuditOperation,
        _ context: RequestContext,
        _ details: [AuditWhat.Detail]
    ) -> AuditDraft {
        AuditDraft(
            operation,
            outcome: .granted,
            correlation: context.correlation,
            references: context.intent.map { [$0.index] } ?? [],
            acceptedAt: context.request.acceptedAt,
            who: context.caller?.who ?? who(of: context.principal),
            what: AuditWhat(details: details),
            why: context.why
        )
    }

    /// On a thread of its own: the vault goes on answering others.
    func onLog<R: Sendable>(_ body: @escaping @Sendable (AuditLog) throws(AuditError) -> R) async throws -> R {
        let audit = audit
        return try await onThread { () -> Result<R, VaultError> in
            do throws(AuditError) { return .success(try body(audit)) } catch {
                switch error {
                case .invalidRecord(let reason): return .failure(.badRequest(reason))
                default: return .failure(VaultError(.auditUnavailable, error.message))
                }
            }
        }.get()
    }

    private func pruneLog(_ context: RequestContext, isDry: Bool) async throws -> Effect {
        let reason = try withBody(context) { body in body?["approve"]?.string ?? "" }
        guard reason.utf8.count <= 500 else { throw VaultError.badRequest("\"approve\" is longer than 500 bytes") }
        let approver = reason.isEmpty ? nil : context.caller?.who.sid ?? who(of: context.principal).sid
        let template = logDraft(.prune, context, [])
        let report = try await onLog { log throws(AuditError) in
            try log.prune(isDry: isDry, limit: isDry ? nil : Self.mostSegments, approver: approver) { details in
                var draft = template
                draft.what.details = details + (reason.isEmpty ? [] : [("approved", .text(reason))])
                return draft
            }
        }
        return Effect(
            .data([
                "pruned": .array(report.pruned.map(Self.json)),
                "held": .array(
                    report.held.map { held in
                        .object([.init("segment", Self.json(held.segment)), .init("holds", .strings(held.holds))])
                    }
                ),
                "next": report.next.map(Self.json) ?? .null, "missing_seconds": .integer(report.missingSeconds),
                "more": .bool(report.isLimited), "dry_run": .bool(isDry),
            ])
        )
    }

    private static func json(_ segment: PruneReport.Segment) -> JSONValue {
        .object([
            .init("first", .integer(segment.first)), .init("last", .integer(segment.last)),
            .init("until", .string(segment.until)),
        ])
    }

    private static func json(_ hold: LegalHold) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("reason", .string(hold.reason)), .init("review", .string(hold.review)),
            .init("set", .string(hold.time)), .init("record", .integer(hold.record)),
        ]
        switch hold.scope {
        case .range(let since, let until):
            members.append(.init("since", .string(Timestamp(seconds: since / 1_000_000).rfc3339)))
            members.append(.init("until", .string(Timestamp(seconds: until / 1_000_000).rfc3339)))
        case .connector(let name): members.append(.init("connector", .string(name)))
        case .subject(let sid): members.append(.init("subject", .string(sid)))
        }
        return .object(members)
    }

    private func setHold(_ context: RequestContext) async throws -> Effect {
        let (scope, reason, review) = try withBody(context) { body in
            (try Self.scope(body), body?["reason"]?.string ?? "", body?["review"]?.string ?? "")
        }
        guard (1...400).contains(reason.utf8.count) else {
            throw VaultError.badRequest("\"reason\" must say why, in at most 400 bytes")
        }
        if case .subject(let sid) = scope, !Self.isPseudonym(sid) {
            throw VaultError.badRequest("\"subject\" must be a pseudonym, s- and 22 letters and digits")
        }
        guard review > String(clock.now().rfc3339.prefix(10)) else {
            throw VaultError.badRequest("\"review\" must be a day to come")
        }
        if let reason = LegalHold.defect(scope, reason: reason) { throw VaultError.badRequest(reason) }
        guard LegalHold.isValidDay(review) else {
            throw VaultError.badRequest("\"review\" must be the day on which the hold is looked at again: 2027-06-30")
        }
        let id = "h-" + Random.base62(12)
        let details = LegalHold.details(scope, id: id, reason: reason, review: review)
        let draft = logDraft(.holdSet, context, details)
        let hold = try await onLog { log throws(AuditError) in try log.setHold(draft) }
        return Effect(.data(["id": .string(hold.id), "record": .integer(hold.record)]))
    }

    private static func isPseudonym(_ text: String) -> Bool {
        text.utf8.count == 24 && text.hasPrefix("s-")
            && text.utf8.dropFirst(2).allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
            }
    }

    private static func scope(_ body: JSONView?) throws -> LegalHold.Scope {
        func text(_ name: String) throws -> String? {
            guard let text = body?[name]?.string, !text.isEmpty else { return nil }
            guard text.utf8.count <= 400 else { throw VaultError.badRequest("\"\(name)\" is longer than 400 bytes") }
            return text
        }
        func moment(_ name: String) throws -> Int64? {
            guard let text = try text(name) else { return nil }
            guard let seconds = RFC3339.seconds(text), seconds >= 0 else {
                throw VaultError.badRequest("\"\(name)\" must be a time such as 2026-03-31T00:00:00Z")
            }
            return seconds * 1_000_000
        }
        switch (try moment("since"), try moment("until"), try text("connector"), try text("subject")) {
        case (let since?, let until?, nil, nil):
            guard since < until else { throw VaultError.badRequest("\"until\" is not after \"since\"") }
            return .range(since: since, until: until)
        case (nil, nil, let connector?, nil): return .connector(connector)
        case (nil, nil, nil, let subject?): return .subject(subject)
        default:
            throw VaultError.badRequest("a hold is of \"since\" and \"until\", of a \"connector\" or of a \"subject\"")
        }
    }
}
