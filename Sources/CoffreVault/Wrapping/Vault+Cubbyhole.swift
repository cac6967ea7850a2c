internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage
internal import CoffreWire

/// `cubbyhole/`: what one token keeps for itself. It ends with the token; nobody else can read it, not even root.
extension Vault {
    private static let maximumEntries = 10_000

    func cubbyholeEndpoint(_ context: RequestContext) throws -> Endpoint? {
        let path = Array(context.path.dropFirst("cubbyhole/".utf8.count))
        // Names of a token's own things tell nothing to others: only their number of bytes is recorded.
        var what = AuditWhat(path: "cubbyhole/")
        what.details = [("path_bytes", .int(Int64(path.count)))]
        switch context.verb {
        case .list:
            return .read(.cubbyholeRead, what, .capability(.list)) { vault, context in
                let (owner, _) = try vault.cubbyholeOwner(context)
                return try vault.listing(.other, Self.cubbyhole(owner, path))
            }
        case .get where !path.isEmpty:
            return .read(.cubbyholeRead, what, .capability(.read)) { vault, context in
                let (owner, _) = try vault.cubbyholeOwner(context)
                guard let row = try vault.barrier.get(Self.cubbyholeRow(owner, path)) else { throw VaultError.notFound }
                var body = ResponseBody()
                body.append(row.value)
                return Effect(.data(body))
            }
        case .write where !path.isEmpty:
            let owner = try? cubbyholeOwner(context).owner
            let exists = try owner.map { try barrier.get(Self.cubbyholeRow($0, path)) != nil } ?? false
            return .change(.cubbyholeWrite, what, .capability(exists ? .update : .create)) { vault, context in
                try await vault.putCubbyhole(path, context)
            }
        case .delete where !path.isEmpty:
            return .change(.cubbyholeWrite, what, .capability(.delete)) { vault, context in
                let (owner, _) = try vault.cubbyholeOwner(context)
                var mutations: [BarrierMutation] = [.delete(Self.cubbyholeRow(owner, path), expect: .any)]
                for folder in Self.folders(owner, path).reversed() {
                    mutations.append(.deleteIfChildless(folder.entry, namespace: .other, parent: folder.children))
                }
                return Effect(.noContent, generation: try await vault.commit(mutations))
            }
        default: return .unsupported(what)
        }
    }

    private func cubbyholeOwner(_ context: RequestContext) throws -> (owner: Digest, entry: TokenEntry) {
        guard let entry = context.caller?.token, entry.kind == .service else {
            throw VaultError.badRequest("cubbyhole operations are only supported by 'service' type tokens")
        }
        return (entry.hash, entry)
    }

    private func putCubbyhole(_ path: [UInt8], _ context: RequestContext) async throws -> Effect {
        guard let state = unsealed else { throw VaultError.sealed }
        let (owner, _) = try cubbyholeOwner(context)
        let value = try withBody(context) { body in
            guard let body, !body.members.isEmpty else { throw VaultError.badRequest("missing data fields") }
            return SharedSecret(copying: body.raw)
        }
        guard value.count <= 1_048_576 else { throw VaultError.badRequest("a cubbyhole entry has at most 1 MiB") }
        let folders = Self.folders(owner, path)
        guard folders.count <= 32 else { throw VaultError.badRequest("a cubbyhole path has at most 32 parts") }
        guard try cubbyholeRows(of: owner).count < Self.maximumEntries else {
            throw VaultError.badRequest("a cubbyhole holds at most \(Self.maximumEntries) entries")
        }
        // The token may have been revoked since: what is written now would stay for ever.
        guard try tokenEntry(owner, state) != nil else { throw VaultError.permissionDenied }
        let generation = try await commit(
            folders.map { .insertIfAbsent($0.entry, LeaseSchedule.marker) }
                + [.put(Self.cubbyholeRow(owner, path), value, expect: .any)]
        )
        return Effect(.noContent, generation: generation)
    }

    // MARK: places

    private static func cubbyhole(_ owner: Digest, _ folder: some Collection<UInt8>) -> [UInt8] {
        Array("cubby/".utf8) + owner.bytes + [0x2f] + folder
    }

    private static func cubbyholeRow(_ owner: Digest, _ path: [UInt8]) -> BarrierKey {
        let slash = path.lastIndex(of: 0x2f)
        let name = path[(slash.map { $0 + 1 } ?? 0)...]
        return BarrierKey(
            namespace: .other,
            parent: cubbyhole(owner, slash.map { path[..<$0] } ?? []),
            name: Array(name)
        )
    }

    private static func folders(_ owner: Digest, _ path: [UInt8]) -> [(entry: BarrierKey, children: [UInt8])] {
        var result: [(entry: BarrierKey, children: [UInt8])] = []
        for (index, byte) in path.enumerated() where byte == 0x2f {
            let start = path[..<index].lastIndex(of: 0x2f).map { $0 + 1 } ?? 0
            let parent = cubbyhole(owner, start == 0 ? [] : path[..<(start - 1)])
            let entry = BarrierKey(namespace: .other, parent: parent, name: Array(path[start...index]))
            result.append((entry, cubbyhole(owner, path[..<index])))
        }
        return result
    }

    /// Every row of a token's cubbyhole.
    func cubbyholeRows(of owner: Digest) throws -> [BarrierKey] {
        var found: [BarrierKey] = []
        var queue: [[UInt8]] = [[]]
        while let folder = queue.popLast() {
            let parent = Self.cubbyhole(owner, folder)
            for name in try barrier.names(in: .other, parent: parent) {
                found.append(BarrierKey(namespace: .other, parent: parent, name: name))
                if name.last == 0x2f { queue.append((folder.isEmpty ? [] : folder + [0x2f]) + name.dropLast()) }
            }
        }
        return found
    }
}
