internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage
internal import CoffreWire

/// One snapshot at a time, from its taking until its last byte is sent: each takes as much disk as the database.
struct SnapshotSlot {
    var isTaking = false
    weak var sent: BodyFile?

    var isFree: Bool { !isTaking && sent == nil }
}

extension Vault {
    /// `sys/storage/snapshot`: the whole database as it lies on the disk, in a tar archive with its manifest.
    func snapshotEndpoint(_ context: RequestContext, _ what: AuditWhat) -> Endpoint {
        let capability: Capability
        switch context.verb {
        case .get: capability = .read
        case .write: capability = .update
        default: return .unsupported(what)
        }
        return .change(.backupTake, what, .sudo(capability)) { vault, context in
            try await vault.takeSnapshot(context, what)
        }
    }

    private func takeSnapshot(_ context: RequestContext, _ what: AuditWhat) async throws -> Effect {
        guard unsealed != nil, let seal = sealStore.status, let intent = context.intent else { throw VaultError.sealed }
        guard snapshots.isFree else {
            throw VaultError(.rateLimited, "another snapshot is being taken or sent: try again when it has ended")
        }
        snapshots.isTaking = true
        defer { snapshots.isTaking = false }
        let barrier = self.barrier
        let taken = try await onThread { () -> Result<TakenSnapshot, BarrierError> in
            do throws(BarrierError) {
                return .success(try barrier.takeSnapshot())
            } catch {
                return .failure(error)
            }
        }.get()
        var manifest = SnapshotManifest(
            vault: Hex.encode(seal.vaultID),
            generation: taken.generation,
            created: context.now.seconds,
            software: configuration.version,
            logOrigin: audit.origin,
            // The intent record is durable before the copy begins: what earlier records tell is in the copy.
            logSize: intent.index + 1,
            logLeaf: Hex.encode(intent.leafHash.bytes),
            databaseBytes: taken.file.count,
            databaseHash: Hex.encode(taken.hash.bytes),
            sealType: seal.type.rawValue
        )
        manifest.mac = Hex.encode(try barrier.authenticate(manifest).bytes)
        let hash = Hex.encode(SHA256.hash(manifest.encoded).bytes)
        let file = BodyFile(descriptor: taken.file.descriptor, count: taken.file.count, owner: taken.file)
        snapshots.sent = file
        var body = ResponseBody(SnapshotContainer.head(manifest))
        body.append(file)
        body.append(SnapshotContainer.tail(manifest, manifestHash: hash))
        var reply = Reply.raw(body)
        reply.headers = [.init(name: "Content-Type", value: "application/octet-stream")]
        var what = what
        what.details = [
            ("bytes", .int(Int64(body.count))), ("database", .text(manifest.databaseHash)),
            ("generation", .int(Int64(clamping: taken.generation))),
        ]
        return Effect(reply, generation: taken.generation, what: what)
    }
}

/// A copy of the database with what its encrypted meta row says.
struct TakenSnapshot: Sendable {
    let file: DatabaseSnapshot
    let generation: UInt64
    /// SHA-256 of the file.
    let hash: Digest
}

extension Barrier {
    /// Copies the database of one moment while it is written. Blocks: call it on a thread of its own.
    /// - Throws: ``BarrierError`` `.sealed`, `.storage`, `.corrupt`.
    func takeSnapshot() throws(BarrierError) -> TakenSnapshot {
        _ = try keys()
        guard let source = store as? any SnapshotSource else {
            throw BarrierError(.storage, "this storage is backed up by its own means")
        }
        do throws(StorageError) {
            let file = try source.takeSnapshot { self.isSealed }
            guard file.count <= SnapshotManifest.maximumDatabaseBytes else {
                throw StorageError(.failed, "a snapshot holds at most 8 GiB")
            }
            var hash = SHA256()
            try file.forEachPiece { hash.update($0) }
            return TakenSnapshot(file: file, generation: try generation(of: file), hash: hash.finish())
        } catch {
            throw error.code == .closed ? .sealed : BarrierError(error)
        }
    }

    private func generation(of file: DatabaseSnapshot) throws(StorageError) -> UInt64 {
        do {
            let (keyring, vault) = try keys()
            return try TransactionState(unwrapping: file.meta[.transaction] ?? [], by: keyring, vault: vault.id)
                .generation
        } catch {
            throw StorageError(.refused, "the copy of the database does not open", cause: error as? BarrierError)
        }
    }

    /// The code that only this vault can put on a manifest.
    func authenticate(_ manifest: SnapshotManifest) throws(BarrierError) -> Digest {
        try keys().keyring.snapshotKey.authenticate(manifest.authenticated)
    }

    /// Whether this vault has made `manifest`, and nobody has changed it since.
    func hasMade(_ manifest: SnapshotManifest) throws(BarrierError) -> Bool {
        guard let code = Hex.decode(Array(manifest.mac.utf8)) else { return false }
        let right = try authenticate(manifest)
        return right.withUnsafeBytes { right in code.withUnsafeBytes { Memory.isEqual($0, right) } }
    }

    /// The manifest of the snapshot that was restored and is not confirmed yet; nil when there is none.
    func restoredManifest() throws(BarrierError) -> [UInt8]? {
        do throws(StorageError) {
            let cell = try store.meta(.restored) ?? []
            return cell.isEmpty ? nil : cell
        } catch { throw BarrierError(error) }
    }
}
