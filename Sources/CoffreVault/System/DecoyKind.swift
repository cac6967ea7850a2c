internal import CoffreCrypto
internal import CoffreWire

/// What a decoy looks like.
enum DecoyKind: String, Sendable, CaseIterable {
    case postgresql
    case apiKey = "api-key"
    case password
    case aws

    /// The fields of such a secret, with values of nobody: they open nothing, wherever they are tried.
    ///
    /// Names are drawn too, so that decoys do not betray each other by what they have in common.
    func fields() -> SharedSecret {
        let members: [JSONValue.Member]
        switch self {
        case .postgresql:
            let name = Self.pick(["orders", "billing", "crm", "payroll", "accounts", "ledger", "identity", "core"])
            let user = Self.pick(["postgres", "\(name)_owner", "\(name)_admin", "svc_\(name)", "\(name)_rw", "dba"])
            members = [
                .init("database", .string(Self.pick([name, "\(name)_prod", "prod_\(name)"]))),
                .init("host", .string(Self.host(Self.pick(["db", "pg", "postgres", "\(name)-db"])))),
                .init("password", .string(Random.base62(Self.number(18...28)))),
                .init("port", .string(Self.pick(["5432", "5432", "5432", "5433", "6432"]))),
                .init("username", .string(user)),
            ]
        case .apiKey:
            let name = Self.pick(["billing", "partner", "shipping", "search", "reports", "gateway", "crm"])
            members = [
                .init("api_key", .string(Random.base62(Self.pick([32, 40, 48])))),
                .init(
                    "url",
                    .string("https://\(Self.host(Self.pick(["api", name, "\(name)-api"])))/v\(Self.number(1...3))")
                ),
            ]
        case .password:
            members = [
                .init("password", .string(Random.base62(Self.number(16...24)))),
                .init("username", .string(Self.pick(["admin", "root", "administrator", "backup", "ops", "deploy"]))),
            ]
        case .aws:
            // An access key id is AKIA and 16 characters of base32; its secret has 40 of base64.
            let base32 = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
            let base64 = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
            members = [
                .init("access_key_id", .string("AKIA" + String((0..<16).map { _ in Self.pick(base32) }))),
                .init("region", .string(Self.pick(["eu-west-1", "eu-west-3", "eu-central-1", "us-east-1"]))),
                .init("secret_access_key", .string(String((0..<40).map { _ in Self.pick(base64) }))),
            ]
        }
        return SharedSecret(copying: JSONValue.object(members).encoded())
    }

    private static func host(_ name: String) -> String {
        let place = pick(["prod", "prod", "core", "dc1", "par1"])
        let domain = pick(["internal", "lan", "corp.internal"])
        return "\(name)-0\(number(1...4)).\(place).\(domain)"
    }

    private static func pick<T>(_ choices: [T]) -> T { choices[Int(Random.number(below: UInt32(choices.count)))] }

    private static func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(Random.number(below: UInt32(range.count)))
    }
}
