internal import CoffreAudit
internal import CoffreWire

/// `sys/audit/why`: the decision behind a record, taken again under the policies of that day and under those of today.
extension Vault {
    /// - Throws: ``VaultError`` 404 when there is no such record.
    func auditWhy(_ number: UInt64, _ context: RequestContext) async throws -> JSONValue {
        let audit = audit
        let line = try await onThread { () -> Result<[UInt8]?, VaultError> in
            do throws(AuditError) {
                return .success(try audit.line(of: number))
            } catch {
                return .failure(VaultError(.auditUnavailable, error.message))
            }
        }.get()
        guard let line, let recorded = RecordedDecision(line) else { throw VaultError.notFound }
        var members: [JSONValue.Member] = [.init("record", recorded.record)]
        guard let found = try Past(recorded, self) else {
            members += [
                .init("reason", .string(Self.impossible(recorded))), .init("then", .null), .init("today", .null),
                .init("agrees", .null), .init("policies", .array([])),
            ]
            return .object(members)
        }
        let then = found.best
        members += [
            .init("reason", .null), .init("path", .string(String(decoding: then.path, as: UTF8.self))),
            .init("then", describe(then.explanation, recorded)),
            .init("today", describe(found.today(then.path, self, context.now), recorded)),
            .init("agrees", .bool(Self.agrees(recorded, then.explanation))),
            .init(
                "policies",
                .array(
                    found.members.map { member in
                        .object([
                            "name": .string(member.name), "version": .integer(member.version),
                            "since": member.since.map { .string(Timestamp(seconds: $0).rfc3339) } ?? .null,
                            "today": unsealed?.policies[member.name].map { .integer($0.version) } ?? .null,
                        ])
                    }
                )
            ),
            .init("missing", .strings(found.missing)),
        ]
        return .object(members)
    }

    private static func impossible(_ recorded: RecordedDecision) -> String {
        if recorded.set == nil { return "no policy was asked: the record names no set of policies" }
        if recorded.capability == nil { return "the record does not say which right was asked for" }
        if recorded.path == nil { return "the record does not name the path in clear" }
        return "the policies of that day are no longer kept"
    }

    /// The policies that took part in a decision, and what they say.
    private struct Past {
        struct Member {
            let name: String
            let version: UInt64
            let since: Int64?
        }

        typealias Answer = (path: [UInt8], explanation: PolicyExplanation?)

        let recorded: RecordedDecision
        let set: PolicySet
        var members: [Member] = []
        /// Names and versions that are no longer kept.
        var missing: [String] = []
        /// The answer that names the recorded rule, or else the first.
        let best: Answer

        /// Nil when the record does not say enough, or the set is not kept.
        init?(_ recorded: RecordedDecision, _ vault: isolated Vault) throws {
            guard let capability = recorded.capability, let digest = recorded.set,
                let set = try vault.policySet(digest), let path = recorded.path
            else { return nil }
            self.recorded = recorded
            self.set = set
            var policies: [Policy] = []
            for member in set.members {
                let kept = try vault.keptPolicy(member.name, member.version)
                members.append(Member(name: member.name, version: member.version, since: kept?.since))
                if let kept {
                    policies.append(kept.policy)
                } else if member.version > 0 {
                    missing.append("\(member.name) v\(member.version)")
                }
            }
            let mount = vault.unsealed?.mounts.mount(of: Array(path.utf8)).flatMap { mount in
                mount.type == .kv && mount.isVersioned ? mount.path : nil
            }
            let isRoot = set.members.contains { $0.name == "root" }
            let answers = recorded.paths(mount: mount).map { path -> Answer in
                if isRoot { return (path, nil) }
                return (
                    path,
                    PolicyExplanation(
                        policies,
                        subject: set.subject,
                        capability: capability,
                        path: path,
                        now: recorded.time
                    )
                )
            }
            guard let first = answers.first else { return nil }
            best = answers.first { Vault.agrees(recorded, $0.explanation) } ?? first
        }

        /// What the policies of the same names say now.
        func today(_ path: [UInt8], _ vault: isolated Vault, _ now: Timestamp) -> PolicyExplanation? {
            guard let capability = recorded.capability, !set.members.contains(where: { $0.name == "root" }) else {
                return nil
            }
            return PolicyExplanation(
                set.members.compactMap { vault.unsealed?.policies[$0.name] },
                subject: set.subject,
                capability: capability,
                path: path,
                now: now.seconds
            )
        }
    }

    /// Whether a decision taken again is the recorded one: the same rule, and the same answer as far as a rule gives it.
    /// - Parameter explanation: nil for root.
    private static func agrees(_ recorded: RecordedDecision, _ explanation: PolicyExplanation?) -> Bool {
        guard let explanation else { return recorded.policy == "root" && recorded.wasAllowed }
        let decision = explanation.decision
        guard decision.policy == recorded.policy, decision.policyVersion == recorded.version,
            decision.rule == recorded.rule
        else { return false }
        let isAllowed = decision.isAllowed && (!recorded.needsSudo || decision.hasSudo)
        return recorded.wasAllowed ? isAllowed : !isAllowed || decision.hasLimits
    }

    /// - Parameter explanation: nil for root.
    private func describe(_ explanation: PolicyExplanation?, _ recorded: RecordedDecision) -> JSONValue {
        guard let explanation else {
            return .object(["allowed": .bool(true), "policy": "root", "reason": "the policy root allows everything"])
        }
        let decision = explanation.decision
        let isAllowed = decision.isAllowed && (!recorded.needsSudo || decision.hasSudo)
        let question = PolicyQuestion(
            path: [],
            capability: recorded.capability ?? [],
            name: recorded.right ?? ""
        )
        var members: [JSONValue.Member] = [
            .init("allowed", .bool(isAllowed)),
            .init("reason", .string(reason(explanation, question, needsSudo: recorded.needsSudo))),
            .init("conditional", .bool(decision.hasLimits)),
        ]
        let deciding = explanation.candidates.first {
            $0.policy == decision.policy && $0.rule == decision.rule && decision.policy != nil
        }
        members += deciding.map { describe($0) } ?? [.init("policy", .null)]
        return .object(members)
    }
}
