import CoffreAudit
import CoffreCrypto
import CoffreStorage
import CoffreTestSupport
import CoffreWire
import Dispatch
import Foundation
import Synchronization
import Testing

@testable import CoffreVault

/// Versions of policies are kept as long as the log, and then forgotten.
struct PolicyHistoryTests {
    /// Runs the vault on a queue, as the daemon does on its event loop.
    private final class QueueExecutor: SerialExecutor {
        private let queue = DispatchQueue(label: "vault")

        func run(_ work: @escaping @Sendable () -> Void) { queue.async(execute: work) }

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
        }

        func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
        func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
    }

    private struct NoBroker: BrokerTransport {
        func exchange(
            _ kind: BrokerFrame.Kind,
            _ id: BrokerJobID,
            body: SharedSecret
        ) async throws(BrokerTransportError) -> (kind: BrokerFrame.Kind, body: [UInt8]) {
            throw BrokerTransportError("there is none")
        }

        func acknowledge(_ id: BrokerJobID) async {}
    }

    /// An open vault in this process, whose clock the test moves.
    private final class OpenVault: Sendable {
        let folder: TestFolder
        let vault: Vault
        let audit: AuditLog
        let token = Mutex("")
        private let seconds = Mutex<Int64>(1_800_000_000)
        private let principal = Principal(pid: 1, uid: 0, gid: 0, groups: [], unit: nil, isUnitPinned: false)

        init() async throws {
            folder = try TestFolder("h")
            let executor = QueueExecutor()
            let store = try SQLiteStore(folder: folder.file("state")) { executor.run($0) }
            let barrier = Barrier(store: store)
            audit = try AuditLog.open(
                AuditLogConfiguration(
                    directory: folder.file("audit"),
                    origin: "test.example/coffre",
                    softwareVersion: "1",
                    keys: .file,
                    deliver: { executor.run($0) }
                )
            )
            let now = Mutex<(@Sendable () -> Int64)?>(nil)
            vault = Vault(
                configuration: VaultConfiguration(seal: .shamir, operators: [], version: "1"),
                executor: executor,
                audit: audit,
                barrier: barrier,
                sealStore: try SealStore(store: store, barrier: barrier),
                broker: NoBroker(),
                clock: VaultClock(
                    now: { Timestamp(seconds: now.withLock { $0 }?() ?? 0) },
                    monotonic: { DispatchTime.now().uptimeNanoseconds }
                ),
                journal: { _, _, _ in }
            )
            now.withLock { now in now = { [unowned self] in seconds.withLock { $0 } } }
            let made = try await request(.write, "sys/init", #"{"secret_shares":1,"secret_threshold":1}"#).json
            let root = try #require(made["root_token"]?.string)
            token.withLock { $0 = root }
            let share = try #require(made["keys_base64"]?.array?.first?.string)
            #expect(try await request(.write, "sys/unseal", #"{"key":"\#(share)"}"#).status == 200)
        }

        func pass(days: Int64) { seconds.withLock { $0 += days * 86_400 } }

        func request(
            _ verb: VaultRequest.Verb,
            _ path: String,
            _ body: String? = nil
        ) async throws -> (status: Int, json: JSONValue) {
            let token = token.withLock { $0 }
            let request = VaultRequest(
                verb: verb,
                path: Array(path.utf8),
                token: token.isEmpty ? nil : SharedSecret(copying: Array(token.utf8)),
                body: body.map { SharedSecret(copying: Array($0.utf8)) },
                acceptedAt: 1
            )
            let answer: ReleasedAnswer = await withCheckedContinuation { continuation in
                Task { await vault.perform(request, as: principal) { continuation.resume(returning: $0) } }
            }
            var bytes: [UInt8] = []
            for piece in answer.body.pieces {
                switch piece {
                case .clear(let part): bytes += part
                case .secret(let secret): secret.withBytes { bytes += Array($0) }
                case .file: break
                }
            }
            return (answer.status, bytes.isEmpty ? .null : try JSONValue(parsing: bytes))
        }

        func put(_ policy: String, _ text: String) async throws {
            let body = JSONValue.object(["policy": .string(text)]).encoded()
            let answer = try await request(
                .write,
                "sys/policies/acl/" + policy,
                String(decoding: body, as: UTF8.self)
            )
            #expect(answer.status < 300)
        }

        /// The versions that are kept, `name version`, and the number of sets.
        func kept() async throws -> (versions: Set<String>, sets: Int) {
            try await vault.run { vault in
                let names = try vault.barrier.names(in: .policy, parent: Array("versions".utf8))
                let sets = try vault.barrier.names(in: .policy, parent: Array("sets".utf8))
                let versions = names.map { String(decoding: $0, as: UTF8.self).replacing("\u{0}", with: " ") }
                return (Set(versions), sets.count)
            }
        }

        /// Lets a day of upkeep pass, until it has finished.
        func sweep() async throws {
            await vault.tick()
            while await vault.run({ $0.unsealed?.policyHistory.isSweeping ?? false }) { await Task.yield() }
        }
    }

    @Test func aReplacedVersionIsKeptAsLongAsTheLogAndThenForgottenWithItsSets() async throws {
        let open = try await OpenVault()
        try await open.sweep()
        let rule = #"path "secret/data/*" { capabilities = ["read"] }"#
        try await open.put("pay", rule)
        let first = try await open.request(.write, "auth/token/create", #"{"policies":["pay"],"ttl":"700h"}"#).json
        let token = try #require(first["auth"]?["client_token"]?.string)
        let root = open.token.withLock { $0 }
        open.token.withLock { $0 = token }
        #expect(try await open.request(.get, "secret/data/x").status == 404)
        open.token.withLock { $0 = root }
        let number = open.audit.health.size - 1
        #expect(try await open.request(.get, "sys/audit/why/\(number)").json["data"]?["agrees"]?.bool == true)

        open.pass(days: 10)
        try await open.put("pay", "# nothing\n")
        try await open.sweep()
        #expect(try await open.kept().versions == ["default 1", "pay 1", "pay 2"])
        // Short of two years: still there, and so is the decision.
        open.pass(days: 740)
        try await open.sweep()
        #expect(try await open.kept().versions == ["default 1", "pay 1", "pay 2"])
        let sets = try await open.kept().sets
        #expect(try await open.request(.get, "sys/audit/why/\(number)").json["data"]?["agrees"]?.bool == true)
        // Beyond: what replaced it stays, it is in force.
        open.pass(days: 10)
        try await open.sweep()
        let kept = try await open.kept()
        #expect(kept.versions == ["default 1", "pay 2"] && kept.sets == sets - 1)
        let late = try await open.request(.get, "sys/audit/why/\(number)").json["data"]
        #expect(late?["then"] == .null && late?["reason"]?.string?.contains("no longer kept") == true)
        // The set of root is still known, and a policy removed now is kept from now on.
        #expect(try await open.request(.delete, "sys/policies/acl/pay").status == 204)
        open.pass(days: 743)
        try await open.sweep()
        #expect(try await open.kept().versions == ["default 1", "pay 2"])
        open.pass(days: 2)
        try await open.sweep()
        #expect(try await open.kept().versions == ["default 1"])
        open.audit.close()
    }

    @Test func aPolicySetIsReadBackAsItWasHashed() throws {
        let policies = [
            "b": try Policy(
                name: "b",
                text: #"path "x/{{identity.entity.name}}" { capabilities = ["read"] }"#,
                version: 3
            ),
            "a": try Policy(name: "a", text: #"path "y" { capabilities = ["read"] }"#, version: 7),
        ]
        let subject = PolicySubject(
            id: "e1",
            name: "Zoé",
            metadata: ["k": "v", "a": "b"],
            aliases: ["acc": .init(id: "1", name: "uid:1000", metadata: ["x": "y"])],
            groups: [.init(id: "g2", name: "team"), .init(id: "g1", name: "other", metadata: ["m": "n"])]
        )
        let set = PolicySet(["b", "a", "gone"], policies, subject: subject)
        #expect(set.members.map(\.name) == ["a", "b", "gone"] && set.members.map(\.version) == [7, 3, 0])
        let read = try PolicySet(text: set.text)
        #expect(read.digest == set.digest && read.members == set.members && read.subject?.name == "Zoé")
        #expect(read.subject?.aliases == subject.aliases && read.subject?.groups.count == 2)
        // Who asks matters only where a rule speaks of him.
        #expect(PolicySet(["a"], policies, subject: subject).digest == PolicySet(["a"], policies, subject: nil).digest)
        #expect(PolicySet(["b"], policies, subject: subject).digest != PolicySet(["b"], policies, subject: nil).digest)
        for text in ["", "{}x", #"{"policies":[["a"]]}"#, #"{"policies":[[1,"a"]]}"#] {
            #expect(throws: (any Error).self) { try PolicySet(text: Array(text.utf8)) }
        }
    }
}

extension Vault {
    /// Looks inside.
    fileprivate func run<R: Sendable>(_ body: @Sendable (isolated Vault) throws -> R) rethrows -> R { try body(self) }
}
