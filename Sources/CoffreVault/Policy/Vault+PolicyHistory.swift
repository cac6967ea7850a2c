internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage
internal import CoffreWire

/// What is kept of policies, so that a decision of the past can be taken again: each version as long as the log, and the
/// sets of versions that took part in decisions.
final class PolicyHistory {
    /// The highest version that each name ever had, as far as it is kept.
    var newest: [String: UInt64] = [:]
    /// Digests of the sets that are durable, and of those that could not be made so.
    var sets: Set<String> = []
    /// Seconds since 1970.
    var nextSweep: Int64 = 0
    var isSweeping = false
}

extension BarrierKey {
    /// Versions of all policies, `name NUL version`: text and time.
    fileprivate static let policyVersions = Array("versions".utf8)
    /// When a version was replaced, `seconds NUL name NUL version`, so that they sort by time. The rows are empty.
    fileprivate static let policyEnds = Array("ends".utf8)
    fileprivate static let policySets = Array("sets".utf8)

    fileprivate static func policyVersion(_ name: String, _ version: UInt64) -> BarrierKey {
        BarrierKey(namespace: .policy, parent: policyVersions, name: Array("\(name)\u{0}\(version)".utf8))
    }

    fileprivate static func policyEnd(_ name: String, _ version: UInt64, at seconds: Int64) -> BarrierKey {
        let digits = String(max(0, seconds))
        let padded = String(repeating: "0", count: max(0, 12 - digits.utf8.count)) + digits
        return BarrierKey(
            namespace: .policy,
            parent: policyEnds,
            name: Array("\(padded)\u{0}\(name)\u{0}\(version)".utf8)
        )
    }

    fileprivate static func policySet(_ digest: String) -> BarrierKey {
        BarrierKey(namespace: .policy, parent: policySets, name: Array(digest.utf8))
    }
}

extension Vault {
    /// Most replaced versions that one sweep forgets.
    private static let versionsPerSweep = 200

    /// How long a replaced version is kept, in seconds: as long as the log, and two years at least.
    var policyRetention: Int64 { Int64(max(audit.retentionMonths, 24)) * 31 * 86_400 }

    /// A version of a policy as it is kept.
    struct KeptPolicy {
        let policy: Policy
        /// When it was written, or first seen; seconds since 1970.
        let since: Int64
    }

    /// Read when the vault opens.
    func loadPolicyHistory() throws -> PolicyHistory {
        let history = PolicyHistory()
        for name in try barrier.names(in: .policy, parent: BarrierKey.policyVersions) {
            let parts = name.split(separator: 0, omittingEmptySubsequences: false)
            guard parts.count == 2, let version = UInt64(String(decoding: parts[1], as: UTF8.self)) else { continue }
            let policy = String(decoding: parts[0], as: UTF8.self)
            history.newest[policy] = max(history.newest[policy] ?? 0, version)
        }
        for digest in try barrier.names(in: .policy, parent: BarrierKey.policySets) {
            history.sets.insert(String(decoding: digest, as: UTF8.self))
        }
        return history
    }

    /// What a new version of a policy writes besides the policy itself.
    func historyChanges(_ policy: Policy, replacing old: Policy?, _ now: Timestamp) -> [BarrierMutation] {
        func row(_ policy: Policy) -> (BarrierKey, SharedSecret) {
            let row: JSONValue = ["since": .integer(now.seconds), "text": .string(policy.text)]
            return (.policyVersion(policy.name, policy.version), SharedSecret(copying: row.encoded()))
        }
        let (key, value) = row(policy)
        guard let old else { return [.put(key, value, expect: .any)] }
        // An older release may not have kept it.
        let (oldKey, oldValue) = row(old)
        return [.put(key, value, expect: .any), .insertIfAbsent(oldKey, oldValue)]
            + historyChanges(removing: old, now)
    }

    /// What the end of a version writes.
    func historyChanges(removing old: Policy, _ now: Timestamp) -> [BarrierMutation] {
        let end = BarrierKey.policyEnd(old.name, old.version, at: now.seconds)
        return [.put(end, SharedSecret(copying: Array("{}".utf8)), expect: .any)]
    }

    /// Makes a set durable before the first record that names it. One that cannot be stored hinders nobody: its records
    /// still say policy, version and rule.
    func keep(_ set: PolicySet) async {
        guard let state = unsealed else { return }
        do {
            _ = try await commit([
                .insertIfAbsent(.policySet(set.digest), SharedSecret(copying: set.text))
            ])
        } catch {
            journal(true, "a set of policies cannot be stored for later", ["error": "\(error)"])
        }
        if state.policyHistory.sets.count >= 1_000_000 { state.policyHistory.sets.removeAll() }
        state.policyHistory.sets.insert(set.digest)
    }

    /// The set with a digest; nil when it is not kept.
    func policySet(_ digest: String) throws -> PolicySet? {
        guard let row = try barrier.get(.policySet(digest)) else { return nil }
        let set = try PolicySet(text: row.value.withBytes { Array($0) })
        guard set.digest == digest else { throw VaultError(.storageCorrupt, "a stored set of policies was changed") }
        return set
    }

    /// A version of a policy; nil when it is not kept.
    func keptPolicy(_ name: String, _ version: UInt64) throws -> KeptPolicy? {
        guard let row = try barrier.get(.policyVersion(name, version)) else { return nil }
        let value = try row.value.withBytes { bytes throws(JSONError) in JSONValue(try JSONView(bytes)) }
        guard let text = value["text"]?.string, let since = value["since"]?.integer else {
            throw VaultError(.storageCorrupt, "a stored policy cannot be read")
        }
        return KeptPolicy(policy: try parsePolicy(name, text, version: version), since: Int64(clamping: since))
    }

    /// Once a day, and soon after each opening: versions that were replaced longer ago than the log reaches are forgotten,
    /// with the sets that they were in; versions that an older release did not keep are kept from now on.
    func sweepPolicies(_ state: UnsealedState, _ now: Timestamp) {
        let history = state.policyHistory
        guard now.seconds >= history.nextSweep, !history.isSweeping else { return }
        history.nextSweep = now.seconds + 86_400
        history.isSweeping = true
        Task {
            do {
                try await self.keepMissing(state, now)
                while try await self.forgetPolicies(state, before: now.seconds - self.policyRetention) {}
            } catch {
                self.journal(true, "old policies cannot be forgotten and are tried again", ["reason": "\(error)"])
            }
            history.isSweeping = false
        }
    }

    private func keepMissing(_ state: UnsealedState, _ now: Timestamp) async throws {
        for policy in state.policies.values.sorted(by: { $0.name < $1.name })
        where try barrier.get(.policyVersion(policy.name, policy.version)) == nil {
            _ = try await commit(historyChanges(policy, replacing: nil, now))
            state.policyHistory.newest[policy.name] = max(
                state.policyHistory.newest[policy.name] ?? 0,
                policy.version
            )
        }
    }

    /// - Returns: whether there may be more.
    private func forgetPolicies(_ state: UnsealedState, before cutoff: Int64) async throws -> Bool {
        var changes: [BarrierMutation] = []
        var gone: Set<[UInt8]> = []
        for name in try barrier.names(in: .policy, parent: BarrierKey.policyEnds).prefix(Self.versionsPerSweep) {
            let parts = name.split(separator: 0, omittingEmptySubsequences: false)
            guard parts.count == 3, let time = Int64(String(decoding: parts[0], as: UTF8.self)), time < cutoff else {
                break
            }
            let version = Array(parts[1] + [0] + parts[2])
            gone.insert(version)
            changes.append(
                .delete(BarrierKey(namespace: .policy, parent: BarrierKey.policyEnds, name: name), expect: .any)
            )
            changes.append(
                .delete(BarrierKey(namespace: .policy, parent: BarrierKey.policyVersions, name: version), expect: .any)
            )
        }
        guard !gone.isEmpty else { return false }
        let hasMore = gone.count == Self.versionsPerSweep
        for (digest, row) in try barrier.entries(in: .policy, parent: BarrierKey.policySets, limit: .max) {
            let set = try PolicySet(text: row.value.withBytes { Array($0) })
            guard set.members.contains(where: { gone.contains(Array("\($0.name)\u{0}\($0.version)".utf8)) }) else {
                continue
            }
            let key = BarrierKey(namespace: .policy, parent: BarrierKey.policySets, name: digest)
            changes.append(.delete(key, expect: .any))
            state.policyHistory.sets.remove(set.digest)
        }
        _ = try await commit(changes)
        return hasMore
    }
}
