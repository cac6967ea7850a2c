internal import CoffreAudit

/// What records say besides what an endpoint knows.
extension Vault {
    /// Unmatched and unauthenticated paths carry names that nobody vouches for: mount, length and keyed digest only.
    func unmatchedFacts(_ context: RequestContext) -> AuditWhat {
        var what = AuditWhat()
        what.mount = unsealed?.mounts.mount(of: context.path)?.path
        what.pathDigest = context.path.withUnsafeBytes { audit.keyedDigest($0, domain: "path") }
        what.pathLength = context.path.count
        return what
    }

    /// Who may go on to ask for a decoy touches it then; who may not has shown what it was after.
    func isTouch(_ context: RequestContext, _ outcome: AuditDraft.Outcome) -> Bool {
        context.decoy != nil && (outcome != .granted || !context.path.starts(with: DecoyTable.preflight.utf8))
    }
}

extension AuditWhat {
    func adding(_ more: [Detail]) -> AuditWhat {
        var what = self
        what.details += more
        return what
    }

    /// - Parameter path: of the decoy, which the vault vouches for also where a request's own path is not written.
    mutating func mark(decoy path: String) {
        details.removeAll { $0.key == "decoy" }
        details.append(("decoy", .flag(true)))
        self.path = path
    }
}
