internal import CoffreCrypto
internal import CoffreWire

extension Vault {
    /// The three routes that tell nothing but the vault's state; they need no record.
    func statusRoute(_ context: RequestContext) -> ReleasedAnswer? {
        guard context.verb == .get || context.verb == .head else { return nil }
        switch context.pathText {
        case "sys/health": return health(context)
        case "sys/seal-status": return ReleasedAnswer(statusRoute: 200, body: ResponseBody(sealStatus.encoded()))
        case "sys/leader":
            if unsealed == nil {
                return ReleasedAnswer(
                    statusRoute: 503,
                    body: ResponseBody(Array(#"{"errors":["Vault is sealed"]}"#.utf8))
                )
            }
            let leader: JSONValue = [
                "ha_enabled": .bool(false), "is_self": .bool(false), "active_time": "0001-01-01T00:00:00Z",
                "leader_address": "", "leader_cluster_address": "",
            ]
            return ReleasedAnswer(statusRoute: 200, body: ResponseBody(leader.encoded()))
        default: return nil
        }
    }

    private func health(_ context: RequestContext) -> ReleasedAnswer {
        let isInitialized = sealStore.isInitialized
        let isSealed = unsealed == nil
        var status = !isInitialized ? 501 : isSealed || holdReason != nil ? 503 : 200
        let parameter = !isInitialized ? "uninitcode" : isSealed ? "sealedcode" : "activecode"
        for item in context.request.query
        where ["uninitcode", "sealedcode", "activecode", "standbycode"].contains(item.name) {
            guard let code = Int(item.value), (100...599).contains(code) else {
                let body = JSONValue.object(["errors": .strings(["bad value for \(item.name): must be a status code"])])
                return ReleasedAnswer(statusRoute: 400, body: ResponseBody(body.encoded()))
            }
            if item.name == parameter { status = code }
        }
        var members: [JSONValue.Member] = [
            .init("initialized", .bool(isInitialized)), .init("sealed", .bool(isSealed)),
            .init("standby", .bool(false)),
            .init("replication_performance_mode", "disabled"), .init("replication_dr_mode", "disabled"),
            .init("server_time_utc", .integer(context.now.seconds)), .init("version", .string(configuration.version)),
        ]
        if !isSealed { members += clusterMembers }
        if let holdReason { members.append(.init("hold", .string(holdReason))) }
        return ReleasedAnswer(statusRoute: status, body: ResponseBody(JSONValue.object(members).encoded()))
    }

    private var clusterMembers: [JSONValue.Member] {
        guard let id = sealStore.status?.vaultID else { return [] }
        let hex = Array(Hex.encode(id).utf8)
        let uuid = [hex[0..<8], hex[8..<12], hex[12..<16], hex[16..<20], hex[20...]].joined(separator: [0x2d])
        return [
            .init("cluster_name", "coffre"), .init("cluster_id", .string(String(decoding: Array(uuid), as: UTF8.self))),
        ]
    }

    /// `sys/seal-status`, also the answer of `sys/unseal`.
    var sealStatus: JSONValue {
        let status = sealStore.status
        let isSealed = unsealed == nil
        let type: String
        if case .credential = configuration.seal { type = "credential" } else { type = "shamir" }
        var members: [JSONValue.Member] = [
            .init("type", .string(status?.type.rawValue ?? type)), .init("initialized", .bool(status != nil)),
            .init("sealed", .bool(isSealed)), .init("t", .integer(status?.threshold ?? 0)),
            .init("n", .integer(status?.shares ?? 0)), .init("progress", .integer(unsealProgress?.count ?? 0)),
            .init("nonce", .string(unsealProgress?.nonce ?? "")), .init("version", .string(configuration.version)),
            .init("build_date", "2026-11-23T00:00:00Z"), .init("commit_date", "2026-11-23T00:00:00Z"),
            .init("migration", .bool(false)), .init("recovery_seal", .bool(status?.type == .credential)),
            .init("storage_type", "sqlite"),
        ]
        if status?.type == .credential { members.append(.init("recovery_seal_type", "shamir")) }
        if !isSealed { members += clusterMembers }
        return .object(members)
    }
}
