internal import CoffreAudit
internal import CoffreWire

/// `sys/anomalies`: incidents, and what people did about them. The records of these requests are what changes anything: the watch
/// reads them like all others.
extension Vault {
    private static let mostBytes = 500
    private static let longestMute: Int64 = 400 * 86_400

    /// - Returns: nil for a path elsewhere.
    func anomalyEndpoint(_ context: RequestContext, _ rest: String, _ what: AuditWhat) throws -> Endpoint? {
        guard rest == "anomalies" || rest.hasPrefix("anomalies/") else { return nil }
        let words = Array(rest.split(separator: "/", omittingEmptySubsequences: false).dropFirst())
        switch (words.count, words.first.map(String.init) ?? "", context.verb) {
        case (0, _, .get), (0, _, .list):
            var what = what
            let (filter, details) = try anomalyFilter(context)
            what.details += details
            return .inquiry(.auditRead, what, .capability(.read)) { vault, _ in
                let desk = try await vault.anomalyDesk()
                let found = desk.incidents(filter)
                let numbers = found.compactMap { $0["id"]?.integer.map { String($0) } }
                return Effect(.data(["incidents": .array(found), "keys": .strings(numbers)]))
            }
        case (1, "status", .get):
            return .inquiry(.auditRead, what, .capability(.read)) { vault, _ in
                Effect(.data(try await vault.anomalyDesk().status()))
            }
        case (1, "mutes", .get), (1, "mutes", .list):
            return .inquiry(.auditRead, what, .capability(.read)) { vault, _ in
                Effect(.data(["mutes": .array(try await vault.anomalyDesk().mutes())]))
            }
        case (1, "mutes", .write):
            return .change(.anomalyMute, what, .capability(.update)) { vault, context in
                try await vault.muteAnomalies(context)
            }
        case (2, "mutes", .delete):
            let id = words.last.flatMap { Self.recordNumber($0) }
            return .change(.anomalyMute, what, .capability(.delete)) { vault, _ in
                let desk = try await vault.anomalyDesk()
                guard let id, desk.hasMute(id) else { throw VaultError(.notFound, "there is no such mute") }
                var what = what
                what.details.append(("mute", .int(Int64(clamping: id))))
                return Effect(.noContent, what: what)
            }
        case (1, let number, .get):
            let id = Self.recordNumber(Substring(number))
            return .inquiry(.auditRead, what, .capability(.read)) { vault, _ in
                let desk = try await vault.anomalyDesk()
                guard let id, let incident = desk.incident(id) else { throw Self.noIncident }
                return Effect(.data(incident))
            }
        case (2, let number, .write) where words.last == "ack" || words.last == "close":
            let isClosing = words.last == "close"
            let id = Self.recordNumber(Substring(number))
            return .change(isClosing ? .anomalyClose : .anomalyAck, what, .capability(.update)) { vault, context in
                try await vault.handleAnomaly(id, isClosing: isClosing, context)
            }
        default: return .unsupported(what)
        }
    }

    private static var noIncident: VaultError {
        VaultError(.notFound, "there is no such incident: coffre anomaly list --state all")
    }

    private static func recordNumber(_ text: Substring) -> UInt64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(text),
            number < 1 << 53
        else { return nil }
        return number
    }

    /// The watch, once it has read what was durable when this was asked.
    private func anomalyDesk() async throws -> any AnomalyDesk {
        guard let desk = configuration.anomalies else {
            throw VaultError(.notFound, "anomalies are not looked for: [anomaly] enabled = false in coffre.toml")
        }
        await desk.read(to: audit.size)
        return desk
    }

    private func anomalyFilter(
        _ context: RequestContext
    ) throws -> (filter: AnomalyFilter, details: [AuditWhat.Detail]) {
        var filter = AnomalyFilter()
        var details: [AuditWhat.Detail] = []
        func text(_ name: String, _ choices: [String]?) throws -> String? {
            guard let text = context.query(name), !text.isEmpty else { return nil }
            if let choices, !choices.contains(where: { $0.utf8.elementsEqual(text.utf8) }) {
                throw VaultError.badRequest("\"\(name)\" is one of: \(choices.joined(separator: ", "))")
            }
            guard text.utf8.count <= Self.mostBytes else { throw VaultError.badRequest("\"\(name)\" is too long") }
            details.append((name, .text(text)))
            return text
        }
        filter.state = try text("state", ["open", "acknowledged", "closed", "all"])
        filter.severity = try text("severity", ["medium", "high", "critical"])
        filter.kind = try text("kind", configuration.anomalies?.kinds)
        filter.actor = try text("actor", nil)
        filter.isHeld = try text("held", ["true", "false"]) == "true"
        filter.after = UInt64(try context.number("after", in: 0...(1 << 53)) ?? 0)
        filter.limit = Int(try context.number("limit", in: 1...1000) ?? 100)
        return (filter, details)
    }

    private func handleAnomaly(_ id: UInt64?, isClosing: Bool, _ context: RequestContext) async throws -> Effect {
        let reason = try withBody(context) { body -> String in
            let reason = body?["reason"]?.string ?? ""
            guard reason.utf8.count <= Self.mostBytes else {
                throw VaultError.badRequest("\"reason\" is longer than \(Self.mostBytes) bytes")
            }
            guard !isClosing || !reason.isEmpty else {
                throw VaultError.badRequest("\"reason\" must say what was found out")
            }
            return reason
        }
        let desk = try await anomalyDesk()
        guard let id, let actor = desk.actor(ofIncident: id) else { throw Self.noIncident }
        try refuseSuspect(actor, context)
        guard !desk.isClosed(id) else {
            throw VaultError.badRequest("incident \(id) is closed: what it does next is a new one")
        }
        var what = AuditWhat(path: context.pathText)
        what.details = [("incident", .int(Int64(clamping: id))), ("reason", .text(reason))]
        return Effect(.noContent, what: what)
    }

    /// Nobody judges what he did himself; who may do everything could anyway.
    private func refuseSuspect(_ actor: String, _ context: RequestContext) throws {
        guard let caller = context.caller, !caller.policies.contains("root") else { return }
        let kernel = ["uid:\(context.principal.uid)", context.principal.unit.map { "unit:\($0)" }]
        let names = [caller.who.sid, caller.who.forSid, who(of: context.principal).sid] + kernel
        guard names.contains(where: { $0?.utf8.elementsEqual(actor.utf8) == true }) else { return }
        throw VaultError(.permissionDenied, "this is about yourself: somebody else has to look at it")
    }

    private func muteAnomalies(_ context: RequestContext) async throws -> Effect {
        let desk = try await anomalyDesk()
        let now = clock.now().seconds
        var what = AuditWhat(path: context.pathText)
        what.details = try withBody(context) { body -> [AuditWhat.Detail] in
            func text(_ name: String) throws -> String? {
                guard let text = body?[name]?.string, !text.isEmpty else { return nil }
                guard text.utf8.count <= Self.mostBytes else {
                    throw VaultError.badRequest("\"\(name)\" is longer than \(Self.mostBytes) bytes")
                }
                return text
            }
            guard let reason = try text("reason") else {
                throw VaultError.badRequest("\"reason\" must say why nobody has to be told")
            }
            let (actor, kind) = (try text("actor"), try text("kind"))
            guard actor != nil || kind != nil else {
                throw VaultError.badRequest("\"actor\" or \"kind\" must say what is muted")
            }
            if let actor { try refuseSuspect(actor, context) }
            if let kind, !desk.kinds.contains(where: { $0.utf8.elementsEqual(kind.utf8) }) {
                throw VaultError.badRequest("\"kind\" is one of: \(desk.kinds.joined(separator: ", "))")
            }
            let until: Int64
            if let text = try text("until") {
                guard let moment = RFC3339.seconds(text) else {
                    throw VaultError.badRequest("\"until\" must be a time such as 2026-03-31T00:00:00Z")
                }
                until = moment
            } else if let ttl = try text("ttl") ?? body?["ttl"]?.integer.map({ "\($0)s" }) {
                guard let seconds = GoDuration.seconds(ttl) else {
                    throw VaultError.badRequest("\"ttl\" must be a duration such as 8h")
                }
                until = now.addingReportingOverflow(seconds).partialValue
            } else {
                throw VaultError.badRequest("\"until\" or \"ttl\" must say when it ends")
            }
            guard until > now, until - now <= Self.longestMute else {
                throw VaultError.badRequest("it must end after now, and within 400 days")
            }
            let isCritical =
                kind.map { kind in desk.criticalKinds.contains { $0.utf8.elementsEqual(kind.utf8) } } ?? false
            guard actor != nil || !isCritical || until - now <= 86_400 else {
                throw VaultError.badRequest(
                    "a critical kind is muted for everybody for a day at most: name an \"actor\""
                )
            }
            var details: [AuditWhat.Detail] = [("reason", .text(reason)), ("until", .int(until))]
            if let actor { details.append(("actor", .text(actor))) }
            if let kind { details.append(("kind", .text(kind))) }
            return details
        }
        return Effect(.data(["until": .string(Timestamp(seconds: Self.end(what)).rfc3339)]), what: what)
    }

    private static func end(_ what: AuditWhat) -> Int64 {
        for case (key: "until", value: .int(let until)) in what.details { return until }
        return 0
    }

    // MARK: answers

    /// What a request of an identity with an open incident is answered.
    func gradedAnswer(_ context: RequestContext, _ endpoint: Endpoint?) -> GradedAnswer {
        guard let desk = configuration.anomalies, let endpoint, let who = context.caller?.who else { return .asUsual }
        switch endpoint.access {
        case .anyone, .caller: return .asUsual
        case .capability, .sudo: break
        }
        // Whoever looks after incidents must reach them.
        guard !context.path.starts(with: "sys/anomalies".utf8) else { return .asUsual }
        // As it was typed, and as the log names it: a mount may have any number of words.
        let sid = who.forSid ?? who.sid
        let answer = desk.answer(sid: sid, path: context.path)
        guard answer == .asUsual, let path = endpoint.what.path else { return answer }
        return desk.answer(sid: sid, path: Array(path.utf8))
    }

    /// Decides anew after a pause: rights may have changed by then.
    func wait(
        _ milliseconds: Int64,
        _ request: VaultRequest,
        _ principal: Principal,
        _ person: Result<ActingPerson, VaultError>?,
        _ completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        Task {
            try? await Task.sleep(for: .milliseconds(milliseconds))
            self.perform(request, as: principal, for: person, hasWaited: true, completion: completion)
        }
    }
}

extension VaultError {
    static func held(_ incident: UInt64) -> VaultError {
        VaultError(
            .permissionDenied,
            "held: incident \(incident) is open: ask those who look after incidents"
        )
    }
}
