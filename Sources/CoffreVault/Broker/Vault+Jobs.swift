internal import CoffreCrypto
internal import CoffreWire

extension BrokerKey {
    static let parent = Array("job".utf8)
}

/// Where the private halves of jobs lie until their answer has been used.
enum BrokerKey {
    static func row(_ id: BrokerJobID) -> BarrierKey {
        BarrierKey(namespace: .other, parent: parent, name: id.bytes)
    }
}

extension Vault {
    /// Has the broker do one job, and tells its failure as an answer. The job's key is durable before the job leaves, so that an answer that was parked can
    /// still be read after a restart of either side.
    /// - Throws: ``VaultError`` `.brokerUnavailable`.
    func attemptJob(_ job: BrokerJob, adminPassword: SharedSecret, loginPassword: SharedSecret? = nil) async throws
        -> BrokerAnswer
    {
        let id = BrokerJobID(high: Self.randomWord(), low: Self.randomWord())
        let keys = SealedBox.KeyPair()
        var job = job
        job.publicKey = keys.publicKey
        let body = try Self.encode(job, adminPassword, loginPassword)
        let privateKey = keys.privateKey.withBytes { SharedSecret(copying: $0) }
        _ = try await commit([.put(BrokerKey.row(id), privateKey, expect: .absent)])
        openJobs.insert(id)
        counters.jobs &+= 1
        defer { openJobs.remove(id) }
        let answer: BrokerAnswer
        do {
            let frame = try await broker.exchange(.job, id, body: body)
            guard let opened = try Self.open(frame, privateKey) else {
                throw BrokerTransportError("the broker does not know the job that it was given")
            }
            answer = opened
        } catch {
            counters.failedJobs &+= 1
            journal(
                true,
                "the broker did not do a job",
                ["reason": (error as? BrokerTransportError)?.message ?? "invalid answer"]
            )
            throw VaultError(
                .brokerUnavailable,
                "the broker is not available: check coffre-broker.service",
                cause: error
            )
        }
        await broker.acknowledge(id)
        _ = try await commit([.delete(BrokerKey.row(id), expect: .any)])
        if case .failed = answer { counters.failedJobs &+= 1 }
        return answer
    }

    /// Collects answers of jobs that a restart interrupted. What they did is finished by their leases; here they are
    /// read, acknowledged and forgotten. An answer that is none is dropped with its key.
    func collectJobs() async {
        guard unsealed != nil, let names = try? barrier.names(in: .other, parent: BrokerKey.parent) else { return }
        for id in names.compactMap({ BrokerJobID(bytes: $0) }) where !openJobs.contains(id) {
            do {
                guard let key = try barrier.get(BrokerKey.row(id))?.value else { continue }
                let frame = try await broker.exchange(.collect, id, body: SharedSecret(copying: []))
                var known = "no"
                do {
                    if try Self.open(frame, key) != nil { known = "yes" }
                } catch {
                    known = "garbage"
                }
                journal(known == "garbage", "an interrupted job was collected", ["job": "\(id)", "known": known])
                await broker.acknowledge(id)
                _ = try await commit([.delete(BrokerKey.row(id), expect: .any)])
            } catch {
                journal(true, "interrupted jobs could not be collected yet", ["reason": "\(error)"])
                return
            }
        }
    }

    private static func randomWord() -> UInt64 { Random.bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }

    private static func encode(
        _ job: BrokerJob,
        _ adminPassword: SharedSecret,
        _ loginPassword: SharedSecret?
    ) throws -> SharedSecret {
        let size = job.encodedSize(adminPasswordBytes: adminPassword.count, loginPasswordBytes: loginPassword?.count)
        do {
            return SharedSecret(
                try SecretBytes(count: size) { target throws(BrokerWireError) in
                    try adminPassword.withBytes { admin throws(BrokerWireError) in
                        guard let loginPassword else {
                            try job.encode(adminPassword: admin, loginPassword: nil, into: target)
                            return
                        }
                        try loginPassword.withBytes { login throws(BrokerWireError) in
                            _ = try job.encode(adminPassword: admin, loginPassword: login, into: target)
                        }
                    }
                }
            )
        } catch {
            throw VaultError.badRequest(error.message)
        }
    }

    /// The answer in a frame; nil when the broker no longer has it. Its content is untrusted.
    private static func open(
        _ frame: (kind: BrokerFrame.Kind, body: [UInt8]),
        _ privateKey: SharedSecret
    ) throws -> BrokerAnswer? {
        guard frame.kind == .answer else { return nil }
        return try frame.body.withRawBytes { body throws(any Error) in
            switch try BrokerAnswer.Parcel(decoding: body) {
            case .plain(let answer): return answer
            case .sealed(let box):
                let opened = try box.withRawBytes { box throws(any Error) in
                    try privateKey.withSecret { key throws(any Error) in
                        SharedSecret(try SealedBox.open(box, privateKey: key))
                    }
                }
                return try opened.withBytes { try BrokerAnswer(decoding: $0) }
            }
        }
    }

    static func error(_ failure: BrokerFailure) -> VaultError {
        let state = failure.sqlState.map { " (SQLSTATE \($0))" } ?? ""
        return VaultError(
            failure.code == .unavailable ? .brokerUnavailable : .upstream,
            failure.sentence + state,
            cause: failure
        )
    }
}
