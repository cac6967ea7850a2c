import Foundation
import Glibc

/// A real OpenBao in memory, on a Unix socket of its own, gone when the test is.
package final class BaoServer: Sendable {
    package static let root = "root"

    private let folder: TestFolder
    private let process: RunningProcess
    package var socket: String { folder.file("b") }

    package init() throws {
        folder = try TestFolder("bao")
        let file = try folder.write("listener.hcl", "listener \"unix\" { address = \"\(folder.file("b"))\" }\n")
        process = try RunningProcess(
            try CoffredProcess.bao(),
            [
                "server", "-dev", "-dev-root-token-id=\(Self.root)",
                "-dev-listen-address=127.0.0.1:\(try PostgresServer.freePort())", "-dev-no-store-token",
                "-config=\(file)",
            ],
            environment: ["HOME": folder.path]
        )
        let path = folder.file("b")
        try eventually(within: 30, "OpenBao answers") {
            (try? UnixHTTP.once(path, "GET", "sys/health").status) == 200
        }
    }

    deinit { process.signal(SIGKILL) }
}

extension BaoServer {
    /// One request as root, on a connection of its own.
    package func ask(_ method: String, _ path: String, _ body: String? = nil) throws -> UnixHTTP.Answer {
        try UnixHTTP.once(socket, method, path, token: Self.root, body: body)
    }

    /// A connection that stays.
    package func connected() throws -> Client { Client(http: try UnixHTTP(socket)) }

    package final class Client {
        private var http: UnixHTTP

        fileprivate init(http: UnixHTTP) { self.http = http }

        deinit { http.close() }

        package func request(
            _ method: String,
            _ path: String,
            token: String = BaoServer.root,
            body: String? = nil,
            headers: [String: String] = [:]
        ) throws -> UnixHTTP.Answer {
            try http.request(method, path, token: token, body: body, headers: headers)
        }

        /// A token with these policies, written under `name` and a number, and with no other.
        package func token(policies: [String], named name: String) throws -> String {
            var names: [String] = []
            for (number, text) in policies.enumerated() {
                names.append("\(name)\(number)")
                let body = try CoffredProcess.json(["policy": text])
                let answer = try request("PUT", "sys/policies/acl/\(name)\(number)", body: body)
                guard answer.status == 204 else {
                    throw RunningProcess.Failure(description: "OpenBao refuses \(text): \(answer.text)")
                }
            }
            let body = try CoffredProcess.json(["policies": names, "no_default_policy": true])
            let answer = try request("POST", "auth/token/create", body: body)
            guard let token = (answer.json["auth"] as? [String: Any])?["client_token"] as? String else {
                throw RunningProcess.Failure(description: "OpenBao makes no token: \(answer.text)")
            }
            return token
        }
    }
}
