internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// Mounts of version 1: one value for each path, no history.
extension Vault {
    func kvVersionOneEndpoint(_ context: RequestContext, _ mount: Mount, _ rest: [UInt8]) throws -> Endpoint? {
        let place = KVPlace(mount: mount, path: rest)
        let what = AuditWhat(path: mount.path + String(decoding: rest, as: UTF8.self))
        switch context.verb {
        case .list:
            return .read(.secretList, what, .capability(.list)) { vault, context in
                Effect(.data(["keys": .strings(try vault.secretNames(place, context))]))
            }
        case .get where !rest.isEmpty:
            return .read(.secretRead, what, .capability(.read)) { vault, _ in
                guard let row = try vault.barrier.get(place.metadata) else { throw VaultError.notFound }
                var body = ResponseBody()
                body.append(row.value)
                var reply = Reply.data(body)
                reply.leaseDuration = vault.lifetime(of: mount).standard
                // The secret itself may say when to look again.
                let hint = try row.value.withBytes { bytes in
                    let view = try JSONView(bytes)
                    return (view["ttl"] ?? view["lease"]).flatMap { GoDuration.seconds($0) }
                }
                if let hint, hint > 0 { reply.leaseDuration = hint }
                return Effect(reply, what: what)
            }
        case .write where !rest.isEmpty:
            let exists = try barrier.get(place.metadata) != nil
            return .change(.secretWrite, what, .capability(exists ? .update : .create)) { vault, context in
                let value = try vault.withBody(context) { body in
                    guard let body, !body.members.isEmpty else { throw VaultError.badRequest("missing data fields") }
                    return SharedSecret(copying: body.raw)
                }
                guard let state = vault.unsealed else { throw VaultError.sealed }
                return try await state.locks.withLock(place.key) {
                    let existsNow = try vault.barrier.get(place.metadata) != nil
                    if existsNow != exists { try vault.decideAgain(existsNow ? .update : .create, context) }
                    let folders = place.folders.map { BarrierMutation.insertIfAbsent($0.entry, LeaseSchedule.marker) }
                    let generation = try await vault.commit([.put(place.metadata, value, expect: .any)] + folders)
                    return Effect(.noContent, generation: generation)
                }
            }
        case .delete where !rest.isEmpty:
            return .change(.secretDelete, what, .capability(.delete)) { vault, _ in
                guard let state = vault.unsealed else { throw VaultError.sealed }
                return try await state.locks.withLock(place.key) {
                    let mutations = [.delete(place.metadata, expect: .any)] + place.emptiedFolders
                    return Effect(.noContent, generation: try await vault.commit(mutations))
                }
            }
        default: return .unsupported(what)
        }
    }
}
