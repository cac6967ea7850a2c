import CoffreTestSupport
import Foundation
import Testing

/// A vault with people in teams, who use connections with tokens of their own.
struct ConnectionStage {
    let vault: CoffredProcess
    let root: String
    private(set) var tokens: [String: String] = [:]
    private(set) var entities: [String: String] = [:]

    static let policy = #"path "connectors/*" { capabilities = ["create","read","update","delete","list"] }"#

    /// - Parameter people: by name, with the teams that each is in.
    init(_ vault: CoffredProcess, _ root: String, people: [String: [String]]) throws {
        self.vault = vault
        self.root = root
        try ask("PUT", "sys/policies/acl/people", ["policy": Self.policy], expect: [200, 204])
        try ask(
            "POST",
            "auth/token/roles/people",
            ["allowed_policies": "people", "allowed_entity_aliases": "*"],
            expect: [200, 204]
        )
        for name in people.keys.sorted() {
            let made = try vault.request(
                "POST",
                "auth/token/create/people",
                token: root,
                body: try CoffredProcess.json(["entity_alias": name, "ttl": "2h"])
            )
            let auth = try #require(made.json["auth"] as? [String: Any], "\(made.text)")
            tokens[name] = auth["client_token"] as? String
            let entity = try #require(auth["entity_id"] as? String)
            entities[name] = entity
            try ask("POST", "identity/entity/id/\(entity)", ["name": name], expect: [200, 204])
        }
        for team in Set(people.values.flatMap { $0 }).sorted() {
            try setTeam(team, people.filter { $0.value.contains(team) }.keys.sorted())
        }
    }

    func setTeam(_ team: String, _ members: [String]) throws {
        try ask(
            "POST",
            "identity/group/name/\(team)",
            ["member_entity_ids": members.compactMap { entities[$0] }],
            expect: [200, 204]
        )
    }

    /// As a person, or as root without one.
    @discardableResult
    func ask(
        _ verb: String,
        _ path: String,
        _ body: [String: Any]? = nil,
        as person: String? = nil,
        expect: [Int] = [200]
    ) throws -> UnixHTTP.Answer {
        let answer = try vault.request(
            verb,
            path,
            token: person.flatMap { tokens[$0] } ?? root,
            body: try body.map { try CoffredProcess.json($0) }
        )
        guard expect.contains(answer.status) else {
            throw RunningProcess.Failure(description: "\(verb) \(path): \(answer.status) \(answer.text)")
        }
        return answer
    }

    func status(_ verb: String, _ path: String, _ body: [String: Any]? = nil, as person: String?) throws -> Int {
        try vault.request(
            verb,
            path,
            token: person.flatMap { tokens[$0] } ?? root,
            body: try body.map { try CoffredProcess.json($0) }
        ).status
    }
}
