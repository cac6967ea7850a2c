import CoffreTestSupport
import Foundation
import Testing

/// The policies that are delivered: each is loaded, and asked for what it should and should not give.
@Suite(.serialized)
struct PolicyFileTests {
    private static let shared = Result {
        var setup = CoffredProcess.Setup()
        setup.isWatched = true
        return try CoffredProcess.unsealed(setup)
    }

    private func token(of file: String) throws -> String {
        let (vault, root) = try Self.shared.get()
        let text = try String(contentsOfFile: CoffredProcess.packageFolder + "/policies/\(file).hcl", encoding: .utf8)
        return try vault.token(policy: text, named: file, root: root)
    }

    @Test func everyFileIsTried() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: CoffredProcess.packageFolder + "/policies")
        #expect(
            Set(files) == [
                "administrator-without-secrets.hcl", "backup.hcl", "compliance-officer.hcl", "connection-user.hcl",
                "connector-operator.hcl", "oauth-redirect.hcl", "security-officer.hcl", "service-reader.hcl",
            ]
        )
    }

    /// What a file gives and refuses: a verb and a path each.
    struct Case: Sendable {
        let file: String
        let allowed: String
        let refused: String
    }

    private static let cases: [Case] = [
        Case(
            file: "administrator-without-secrets",
            allowed: """
                PUT sys/policies/acl/made
                GET sys/policies/acl/made
                LIST sys/policies/acl
                POST auth/peer/role/made
                LIST auth/peer/role
                POST auth/token/create
                GET sys/mounts
                GET sys/auth
                GET sys/audit
                DELETE sys/policies/acl/made
                """,
            refused: """
                GET secret/data/services/x
                POST secret/data/services/x
                GET database/creds/app
                POST database/config/pg
                LIST secret/metadata/services
                """
        ),
        Case(
            file: "backup",
            allowed: """
                GET sys/storage/snapshot
                """,
            refused: """
                POST sys/storage/snapshot
                GET secret/data/services/x
                GET sys/mounts
                LIST sys/policies/acl
                POST auth/token/create
                PUT sys/seal
                """
        ),
        Case(
            file: "compliance-officer",
            allowed: """
                GET sys/audit
                GET sys/audit/status
                GET sys/audit/log
                GET sys/audit/why/0
                LIST sys/audit/holds
                GET sys/audit/prune
                LIST sys/policies/acl
                GET sys/policies/acl/default
                LIST auth/peer/role
                GET sys/mounts
                GET sys/auth
                """,
            refused: """
                GET secret/data/services/x
                PUT sys/policies/acl/compliance-officer
                POST auth/token/create
                DELETE sys/policies/acl/made
                POST auth/peer/role/made
                PUT sys/seal
                GET database/creds/app
                POST sys/audit/prune
                GET sys/audit/subject/s-0123456789abcdefghijkl
                """
        ),
        Case(
            file: "connector-operator",
            allowed: """
                POST database/roles/made
                GET database/roles/made
                LIST database/roles
                GET sys/mounts
                DELETE database/roles/made
                """,
            refused: """
                GET database/creds/made
                GET secret/data/services/x
                PUT sys/policies/acl/made
                POST auth/token/create
                """
        ),
        Case(
            file: "connection-user",
            allowed: """
                LIST connectors/connections
                GET connectors/rotations
                LIST connectors/approvals
                """,
            refused: """
                GET connectors/creds/production
                GET secret/data/services/x
                GET database/creds/app
                PUT sys/policies/acl/made
                POST auth/token/create
                """
        ),
        Case(
            file: "oauth-redirect",
            allowed: """
                POST connectors/oauth/complete
                """,
            refused: """
                POST connectors/oauth/start
                POST connectors/oauth/device
                GET connectors/creds/production
                LIST connectors/connections
                GET connectors/rotations
                GET secret/data/services/x
                GET sys/mounts
                POST auth/token/create
                """
        ),
        Case(
            file: "security-officer",
            allowed: """
                GET sys/anomalies
                LIST sys/anomalies
                GET sys/anomalies/status
                POST sys/anomalies/mutes
                LIST sys/anomalies/mutes
                POST sys/decoys/secret/prod/bait
                GET sys/decoys/secret/prod/bait
                LIST sys/decoys
                DELETE sys/decoys/secret/prod/bait
                GET sys/audit/status
                GET sys/audit/log
                GET sys/audit/why/0
                GET sys/metrics
                """,
            refused: """
                GET secret/data/services/x
                GET secret/data/prod/bait
                POST sys/audit/prune
                PUT sys/policies/acl/made
                POST auth/token/create
                """
        ),
        Case(
            file: "service-reader",
            allowed: """
                GET secret/data/services/x
                LIST secret/metadata/services
                GET secret/metadata/services/x
                GET database/creds/app
                """,
            refused: """
                POST secret/data/services/x
                DELETE secret/data/services/x
                GET secret/data/other/x
                LIST secret/metadata/other
                GET database/config/pg
                PUT sys/policies/acl/made
                GET sys/mounts
                POST auth/token/create
                """
        ),
    ]

    @Test(arguments: cases)
    func aFileGivesWhatItSays(_ given: Case) throws {
        let (vault, root) = try Self.shared.get()
        _ = try vault.request("POST", "secret/data/services/x", token: root, body: #"{"data":{"a":1}}"#)
        let token = try token(of: given.file)
        for (method, path) in Self.requests(given.allowed) {
            let answer = try vault.request(method, path, token: token, body: Self.body(method, path))
            #expect(answer.status != 403, "\(given.file): \(method) \(path): \(answer.text)")
            // Here nothing is behind the login, no connection is there to be listed, and no consent waits.
            let isEmpty =
                path.hasPrefix("database/creds") || path == "connectors/oauth/complete"
                || method == "LIST" && path.hasPrefix("connectors/")
            #expect(answer.status < 300 || isEmpty, "\(method) \(path): \(answer.text)")
        }
        for (method, path) in Self.requests(given.refused) {
            let answer = try vault.request(method, path, token: token, body: Self.body(method, path))
            #expect(answer.status == 403, "\(given.file): \(method) \(path): \(answer.status) \(answer.text)")
        }
    }

    private static func requests(_ text: String) -> [(method: String, path: String)] {
        text.split(separator: "\n").map { line in
            let parts = line.split(separator: " ").map(String.init)
            return (parts[0], parts[1])
        }
    }

    private static func body(_ method: String, _ path: String) -> String? {
        guard method == "PUT" || method == "POST" else { return nil }
        switch path {
        case let path where path.hasPrefix("sys/policies"):
            return #"{"policy":"path \"x\" { capabilities = [\"read\"] }"}"#
        case let path where path.hasPrefix("auth/peer/role"): return #"{"bound_uids":[65534],"policies":["default"]}"#
        case let path where path.hasPrefix("database/roles"):
            return #"{"db_name":"pg","creation_statements":"CREATE ROLE \"{{name}}\""}"#
        case let path where path.hasPrefix("secret/data"): return #"{"data":{"a":1}}"#
        case "sys/anomalies/mutes": return #"{"kind":"off_hours_access","ttl":"1h","reason":"a test"}"#
        case "auth/token/create": return #"{"policies":["default"],"ttl":"5m"}"#
        default: return "{}"
        }
    }
}
