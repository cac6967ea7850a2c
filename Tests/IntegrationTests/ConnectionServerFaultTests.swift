import CoffreTestSupport
import Foundation
import Testing

/// Connections to servers that are not who they should be, that refuse, or that never answer.
@Suite(.serialized)
struct ConnectionServerFaultTests {
    private typealias Story = ConnectionStoryTests

    private static func leases(_ people: ConnectionStage, _ path: String = Story.path) throws -> Int? {
        try people.ask("GET", path + "/consequences", as: "sarah").data["leases"] as? Int
    }

    private static func count(_ words: String, in text: String) -> Int { text.components(separatedBy: words).count - 1 }

    /// Before a certificate is verified nothing is said of any account.
    @Test(arguments: [PostgresServer.Certificate.valid, .expired, .ofAnotherName])
    func noCredentialGoesToAServerThatIsNotTrusted(_ certificate: PostgresServer.Certificate) throws {
        let server = try PostgresServer(tls: true, certificate: certificate)
        try server.sql("CREATE TABLE clients (id int)")
        let stage = try DatabaseStage(server: server)
        try Story.prepare(stage)
        let people = try ConnectionStage(stage.vault, stage.root, people: ["sarah": [], "nadia": ["finance"]])
        var fields = Story.fields(stage)
        fields["ssl_mode"] = "verify-full"
        fields["ca_certificate"] = server.authority
        try people.ask("POST", Story.path, ["type": "postgresql", "fields": fields, "verify": false], as: "sarah")
        try people.ask("POST", Story.path + "/permissions", ["tables": Story.rules(["clients": "read"])], as: "sarah")
        func attempts() -> Int {
            ["connection authorized", "connection authenticated", "authentication failed", "no password"]
                .reduce(0) { $0 + Self.count($1, in: server.log) }
        }
        let before = attempts()
        let test = try people.ask("POST", Story.path + "/test", [:], as: "sarah").data
        let login = try people.ask("GET", "connectors/creds/production", as: "sarah", expect: [200, 400, 502])
        let rotation = try people.ask("POST", Story.path + "/rotate", [:], as: "sarah", expect: [204, 400, 502])
        guard certificate != .valid else {
            #expect(test["works"] as? Bool == true && login.status == 200 && rotation.status == 204, "\(test)")
            return
        }
        let failure = try #require(test["failure"] as? [String: String], "\(test)")
        #expect(failure["code"] == "tls")
        #expect(failure["en"]?.contains("check its certificate and name") == true)
        #expect(failure["fr"]?.contains("vérifiez son certificat et son nom") == true)
        for answer in [login, rotation] {
            #expect(answer.status >= 400 && answer.text.contains("root certificate"), "\(answer.text)")
        }
        #expect(attempts() == before, "somebody was named to the server")
        #expect(try Self.leases(people) == 0)
        #expect(try Story.roles(stage).isEmpty)
        let rows = try people.ask("GET", "connectors/rotations", as: "sarah").data["rotations"] as? [[String: Any]]
        #expect(
            rows?.isEmpty == false && rows?.allSatisfy { $0["is_unsure"] as? Bool == false } == true,
            "\(rows ?? [])"
        )
    }

    /// A password that is wrong is sent a few times, at growing distances, however much is asked for and however many
    /// leases wait: in 20 seconds 1 for the test, and 1 after 10 seconds for all leases, logins, rotations and
    /// reconciliations together. Who only uses the connection cannot send it either.
    @Test func anAccountThatIsRefusedIsNotHammered() throws {
        let (stage, people) = try ConnectionFaultTests.staged()
        let logins = try (0..<12).map { _ in try Story.issue(people, "nadia") }
        try Story.asDBA(stage, "SET log_statement = none; ALTER ROLE postgres PASSWORD 'another'")
        func refusals(_ user: String) -> Int {
            Self.count("password authentication failed for user \"\(user)\"", in: stage.server.log)
        }
        let begin = ContinuousClock.now
        let test = try people.ask("POST", Story.path + "/test", [:], as: "sarah").data
        let administration = try #require(test["administration"] as? [String: Any], "\(test)")
        #expect((administration["failure"] as? [String: String])?["code"] == "credentials", "\(test)")
        #expect(try people.status("POST", Story.path + "/rotate", [:], as: "sarah") == 400)
        #expect(try people.status("POST", Story.path + "/reconcile", [:], as: "sarah") == 400)
        // The rights shrink: twelve leases want to end at once.
        try people.ask("POST", Story.path + "/permissions", ["grants": []], as: "sarah")
        try people.ask(
            "POST",
            Story.path + "/permissions",
            ["grants": [["group": "finance", "level": "read"]]],
            as: "sarah"
        )
        try eventually(within: 30, "20 seconds of asking are over") {
            let answer = try people.ask("GET", "connectors/creds/production", as: "nadia", expect: [400])
            #expect(answer.text.contains("does not accept"), "\(answer.text)")
            let test = try people.ask("POST", Story.path + "/test", [:], as: "nadia").data
            let administration = try #require(test["administration"] as? [String: Any], "\(test)")
            #expect(test["works"] as? Bool == true && administration["works"] as? Bool == false, "\(test)")
            return ContinuousClock.now - begin > .seconds(20)
        }
        #expect((2...3).contains(refusals("postgres")), "\(refusals("postgres")) refusals in 20 s")
        let told =
            try people.ask("POST", Story.path + "/test", [:], as: "nadia").data["administration"] as? [String: Any]
        #expect((told?["not_before"] as? String)?.hasSuffix("Z") == true, "\(told ?? [:])")
        #expect(refusals("app") == 0, "the other account is not tried with a password that cannot be in force")
        #expect(try Self.leases(people) == logins.count, "a login that could not be made leaves no lease")
        // Mended: a test says so, and everything goes on.
        let password = stage.server.password
        try Story.asDBA(stage, "SET log_statement = none; ALTER ROLE postgres PASSWORD '\(password)'")
        #expect(try people.status("POST", Story.path + "/test", [:], as: "sarah") == 200)
        #expect(Story.does("SELECT * FROM clients", stage, try Story.issue(people, "nadia")))
        try eventually(within: 40, "the leases end") { try Self.leases(people) == 1 }
        #expect(!Story.does("SELECT 1", stage, logins[0]))
    }

    /// More than a broker used to have threads hang at two servers, one silent and one that drips.
    @Test func connectionsWorkWhileManyHang() throws {
        let (stage, people) = try ConnectionFaultTests.staged()
        // The beginning of an AuthenticationOk that never ends.
        let servers = [
            "silent": try SilentServer(bytesASecond: 0),
            "dripping": try SilentServer(bytesASecond: 1, [0x52, 0, 0, 0, 8, 0, 0]),
        ]
        for (name, server) in servers {
            var fields = Story.fields(stage)
            fields["port"] = "\(server.port)"
            let path = "connectors/connections/\(name)"
            try people.ask("POST", path, ["type": "postgresql", "fields": fields, "verify": false], as: "sarah")
            try people.ask("POST", path + "/permissions", ["tables": Story.rules(["clients": "read"])], as: "sarah")
        }
        let (socket, token) = (stage.vault.socket, people.tokens["sarah"])
        var bodies: [@Sendable () throws -> (String, Int, String)] = []
        for name in servers.keys {
            let path = "connectors/connections/\(name)"
            let hanging = Array(repeating: ("GET", "connectors/creds/\(name)"), count: 7)
            for (verb, path) in hanging + [("POST", path + "/test"), ("POST", path + "/rotate")] {
                bodies.append {
                    var client = try UnixHTTP(socket, timeout: 60)
                    defer { client.close() }
                    let answer = try client.request(verb, path, token: token, body: verb == "GET" ? nil : "{}")
                    return (path, answer.status, answer.text)
                }
            }
        }
        let hanging = bodies
        let begin = ContinuousClock.now
        let others = Thread.Box<[(String, Int, String)]>()
        Thread.detachNewThread { others.set(Result { try onThreads(hanging) }) }
        // The first of each goes alone, until it is known what becomes of it.
        try eventually(within: 30, "all places of both servers hang") { servers.values.allSatisfy { $0.clients >= 6 } }
        let asked = ContinuousClock.now
        let login = try Story.issue(people, "nadia")
        #expect(Story.does("SELECT * FROM clients", stage, login))
        #expect(try people.ask("POST", Story.path + "/test", [:], as: "sarah").data["works"] as? Bool == true)
        try people.ask("POST", Story.path + "/rotate", [:], as: "sarah", expect: [204])
        #expect(ContinuousClock.now - asked < .seconds(6))
        #expect(others.value == nil, "the others hang still")
        try eventually(within: 50, "what hung has ended") { others.value != nil }
        #expect(ContinuousClock.now - begin < .seconds(45))
        for (path, status, text) in try #require(others.value).get() {
            let words = path.hasSuffix("test") ? "did not answer in time" : "the server did not answer in time"
            #expect((path.hasSuffix("test") ? [200] : [400]).contains(status), "\(path): \(status) \(text)")
            #expect(text.contains(words), "\(path): \(text)")
        }
        for name in servers.keys { #expect(try Self.leases(people, "connectors/connections/\(name)") == 0, "\(name)") }
        let rows = try people.ask("GET", "connectors/rotations", as: "sarah").data["rotations"] as? [[String: Any]]
        #expect(rows?.allSatisfy { $0["is_unsure"] as? Bool == false } == true, "\(rows ?? [])")
    }

    /// What is no PostgreSQL has not judged a password.
    @Test func aServerOfAnotherKindIsNotTakenForARefusal() throws {
        let (stage, people) = try ConnectionFaultTests.staged()
        let server = try SilentServer(bytesASecond: 1, Array("SSH-2.0".utf8))
        var fields = Story.fields(stage)
        fields["port"] = "\(server.port)"
        let path = "connectors/connections/ssh"
        try people.ask("POST", path, ["type": "postgresql", "fields": fields, "verify": false], as: "sarah")
        let test = try people.ask("POST", path + "/test", [:], as: "sarah").data
        #expect((test["failure"] as? [String: String])?["code"] == "reply", "\(test)")
    }

    /// Whoever may make connections has five guesses for an account, each with another password and name of a connection.
    @Test func whoGuessesPasswordsWaits() throws {
        let (stage, people) = try ConnectionFaultTests.staged()
        func guess(_ number: Int, as person: String) throws -> Int {
            var fields = Story.fields(stage)
            fields["password"] = "guess-\(number)"
            let body: [String: Any] = ["type": "postgresql", "fields": fields]
            return try people.status("POST", "connectors/connections/guess-\(number)", body, as: person)
        }
        let answers = try (0..<7).map { try guess($0, as: "nadia") }
        #expect(answers == [400, 400, 400, 400, 400, 429, 429])
        #expect(Self.count("authentication failed for user \"app\"", in: stage.server.log) == 5)
        #expect(try guess(8, as: "sarah") == 400, "another's guesses are another's")
        #expect(try people.ask("POST", Story.path + "/test", [:], as: "sarah").data["works"] as? Bool == true)
    }
}

extension Thread {
    /// What a thread comes to.
    final class Box<R: Sendable>: @unchecked Sendable {  // Guarded by the lock.
        private let lock = NSLock()
        private var result: Result<R, any Error>?

        var value: Result<R, any Error>? { lock.withLock { result } }

        func set(_ result: Result<R, any Error>) { lock.withLock { self.result = result } }
    }
}
