import CoffreTestSupport
import Foundation
import Testing

/// A thief who keeps using a token while it is being revoked: what was revoked stays so, also after a restart.
@Suite(.serialized)
struct RevocationRaceTests {
    @Test func renewingDoesNotBringARevokedTokenBack() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        var revoked: [String] = []
        for _ in 0..<15 {
            let token = try vault.token(policies: ["default"], root: root)
            let thieves: [@Sendable () throws -> Void] = (0..<6).map { _ in
                { Self.repeatUntilRefused(vault, "auth/token/renew-self", token, body: "{}") }
            }
            let owner: @Sendable () throws -> Void = {
                let body = #"{"token":"\#(token)"}"#
                let status = try vault.request("POST", "auth/token/revoke", token: root, body: body).status
                #expect(status == 204)
            }
            _ = try onThreads(thieves + [owner])
            let after = try vault.request("GET", "auth/token/lookup-self", token: token)
            #expect(after.status == 403, "\(after.text)")
            revoked.append(token)
        }
        try vault.restart()
        for token in revoked {
            #expect(try vault.request("GET", "auth/token/lookup-self", token: token).status == 403)
        }
        try vault.verifyLog()
    }

    @Test func childrenMadeDuringARevocationEndWithTheirParent() throws {
        let (vault, root) = try CoffredProcess.unsealed()
        let policy = #"path "auth/token/create" { capabilities = ["update"] }"#
        var children: [String] = []
        for _ in 0..<15 {
            let parent = try vault.token(policy: policy, named: "maker", root: root)
            // The first decision under a new version of a policy takes longer than a revocation.
            let first = try vault.request(
                "POST",
                "auth/token/create",
                token: parent,
                body: #"{"policies":["default"]}"#
            )
            #expect(first.status == 200)
            let makers: [@Sendable () throws -> [String]] = (0..<6).map { _ in
                { Self.repeatUntilRefused(vault, "auth/token/create", parent, body: #"{"policies":["default"]}"#) }
            }
            let owner: @Sendable () throws -> [String] = {
                let body = #"{"token":"\#(parent)"}"#
                let status = try vault.request("POST", "auth/token/revoke", token: root, body: body).status
                #expect(status == 204)
                return []
            }
            children += try onThreads(makers + [owner]).flatMap { $0 }
        }
        #expect(!children.isEmpty)
        for child in children {
            #expect(try vault.request("GET", "auth/token/lookup-self", token: child).status == 403)
        }
        try vault.restart()
        for child in children {
            #expect(try vault.request("GET", "auth/token/lookup-self", token: child).status == 403)
        }
    }

    /// What is in memory is what is stored, whoever wrote last.
    @Test(arguments: ["sys/policies/acl/contended", "auth/peer/role/contended"])
    func writersAndRemoversOfOneNameAgreeWithTheStorage(_ path: String) throws {
        let (vault, root) = try CoffredProcess.unsealed()
        func body(_ number: Int) -> String {
            path.hasPrefix("sys")
                ? #"{"policy":"path \"a\#(number)\" { capabilities = [\"read\"] }"}"#
                : #"{"bound_uids":[\#(number + 1000)],"policies":["default"],"ambient":false}"#
        }
        for round in 0..<12 {
            let writers: [@Sendable () throws -> Void] = (0..<4).map { worker in
                let text = body(round * 4 + worker)
                return {
                    let status = try vault.request("POST", path, token: root, body: text).status
                    #expect(status == 204)
                }
            }
            let removers: [@Sendable () throws -> Void] = (0..<4).map { _ in
                {
                    let status = try vault.request("DELETE", path, token: root).status
                    #expect(status == 204)
                }
            }
            _ = try onThreads(writers + removers)
            let before = try vault.request("GET", path, token: root)
            try vault.restart()
            let after = try vault.request("GET", path, token: root)
            #expect(before.status == after.status, "round \(round)")
            let (left, right) = (try CoffredProcess.json(before.data), try CoffredProcess.json(after.data))
            #expect(left == right, "round \(round)")
        }
    }

    /// - Returns: the tokens that were made.
    @discardableResult
    private static func repeatUntilRefused(
        _ vault: CoffredProcess,
        _ path: String,
        _ token: String,
        body: String
    ) -> [String] {
        var made: [String] = []
        guard var client = try? UnixHTTP(vault.socket) else { return made }
        defer { client.close() }
        for _ in 0..<10_000 {
            guard let answer = try? client.request("POST", path, token: token, body: body), answer.status == 200 else {
                break
            }
            if let auth = answer.json["auth"] as? [String: Any], let child = auth["client_token"] as? String {
                made.append(child)
            }
        }
        return made
    }
}
