import Foundation
import Glibc

/// A real PostgreSQL 15 in a folder of its own, on a free port of 127.0.0.1, gone when the test process is. Another version
/// is tried with `COFFRE_TEST_POSTGRES`, the folder of its programs.
///
/// Statements, connections and parameters are all logged, so that a test can search ``log`` for what must not be there.
package final class PostgresServer: @unchecked Sendable {  // What changes is guarded by the lock.
    /// What is right or wrong with the server's certificate.
    package enum Certificate: String, Sendable {
        /// For localhost and 127.0.0.1.
        case valid
        case expired
        case ofAnotherName
    }

    /// Whether the programs are installed.
    package static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: programs + "/postgres") }

    package static let programs =
        ProcessInfo.processInfo.environment["COFFRE_TEST_POSTGRES"] ?? "/usr/lib/postgresql/15/bin"

    package let port: UInt16
    package let user = "postgres"
    package let password = "Adm1n-" + UUID().uuidString
    /// PEM certificate of the authority that signed the server's, when it has TLS.
    package let authority: String?
    private let folder: TestFolder
    private let arguments: String
    private let lock = NSLock()
    private var process: Process
    private var leash: FileHandle

    /// Starts a server.
    /// - Parameters:
    ///   - tls: with a certificate for `localhost` and 127.0.0.1.
    ///   - certificate: what is wrong with that certificate.
    ///   - settings: further `-c` settings.
    package init(tls: Bool = false, certificate: Certificate = .valid, settings: [String] = []) throws {
        folder = try TestFolder("pg")
        chmod(folder.path, 0o755)
        port = try Self.freePort()
        let data = folder.file("data")
        let secret = try folder.write("pw", password, mode: 0o644)
        try Self.check("mkdir", "mkdir -m 700 \(data) && chown \(Self.owner) \(data)")
        let initialise =
            "\(Self.programs)/initdb -D \(data) -U postgres --pwfile=\(secret)"
            + " -A scram-sha-256 -E UTF8 --locale=C --no-sync"
        try Self.check("initdb", Self.asOwner + initialise)
        var options = [
            "listen_addresses=127.0.0.1,127.0.0.2", "port=\(port)", "unix_socket_directories=", "fsync=off",
            "log_statement=all",
            "log_connections=on", "log_parameter_max_length=-1", "log_parameter_max_length_on_error=-1",
            "max_connections=100", "shared_buffers=16MB",
        ]
        if tls {
            authority = try Self.makeCertificates(certificate, in: folder, data: data)
            options += ["ssl=on", "ssl_cert_file=\(data)/server.pem", "ssl_key_file=\(data)/server.key"]
        } else {
            authority = nil
        }
        arguments = (options + settings).map { "-c '\($0)'" }.joined(separator: " ")
        (process, leash) = try Self.launch(folder, arguments)
        try waitUntilReady(after: 0)
    }

    deinit { stop() }

    private static func launch(_ folder: TestFolder, _ arguments: String) throws -> (Process, FileHandle) {
        // The shell holds the other end of a pipe: when this process ends, however it does, so does the server. It may have
        // been started with SIGCHLD blocked, which its wait would wait for.
        let start = "\(asOwner)\(programs)/postgres -D \(folder.file("data")) \(arguments)"
        let script = """
            \(start) >>'\(folder.file("log"))' 2>&1 </dev/null &
            child=$!; word=$(cat); kill -QUIT $child
            while kill -0 $child && ! grep -q ') Z' /proc/$child/stat; do sleep 0.02; done
            [ "$word" ] || rm -rf '\(folder.path)'
            """
        let pipe = Pipe()
        let leash = pipe.fileHandleForWriting
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", script]
        process.standardInput = pipe
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        _ = fcntl(leash.fileDescriptor, F_SETFD, FD_CLOEXEC)
        try process.run()
        return (process, leash)
    }

    private func waitUntilReady(after length: Int) throws {
        try eventually(within: 30, "PostgreSQL accepts connections") {
            log.utf8.dropFirst(length).firstRange(of: Array("ready to accept connections".utf8)) != nil
        }
    }

    /// Stops the server at once, for good.
    package func stop() {
        let (process, leash) = lock.withLock { (self.process, self.leash) }
        try? leash.close()
        process.waitUntilExit()
    }

    /// Ends the server where it stands; ``resume()`` starts it again.
    package func crash() {
        let (process, leash) = lock.withLock { (self.process, self.leash) }
        guard process.isRunning else { return }
        try? leash.write(contentsOf: Data("keep".utf8))
        try? leash.close()
        process.waitUntilExit()
    }

    /// Starts the server with the data that it had; nothing when it runs.
    package func resume() throws {
        guard !lock.withLock({ process.isRunning }) else { return }
        let length = log.utf8.count
        let started = try Self.launch(folder, arguments)
        lock.withLock { (process, leash) = started }
        try waitUntilReady(after: length)
    }

    /// All that the server has logged.
    package var log: String {
        String(decoding: FileManager.default.contents(atPath: folder.file("log")) ?? Data(), as: UTF8.self)
    }

    /// Runs SQL as the administrator, or another login, and returns psql's unaligned output.
    @discardableResult
    package func sql(
        _ text: String,
        database: String = "postgres",
        as login: (user: String, password: String)? = nil
    ) throws -> String {
        let (executable, arguments, environment) = psql(text, database, login)
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw RunningProcess.Failure(description: said) }
        return said.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// psql with `text`, not waited for.
    package func session(
        _ text: String,
        database: String = "postgres",
        as login: (user: String, password: String)? = nil
    ) throws -> RunningProcess {
        let (executable, arguments, environment) = psql(text, database, login)
        return try RunningProcess(executable, arguments, environment: environment)
    }

    private func psql(
        _ text: String,
        _ database: String,
        _ login: (user: String, password: String)?
    ) -> (executable: String, arguments: [String], environment: [String: String]) {
        (
            Self.programs + "/psql",
            ["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", "\(port)", "-d", database, "-c", text]
                + ["-U", login?.user ?? user],
            ["PGPASSWORD": login?.password ?? password]
        )
    }

    /// The SCRAM verifier that the server itself makes of `password`; the statement that makes it is not logged.
    package func verifier(of password: String) throws -> String {
        let name = "verifier_\(UInt32.random(in: 0 ... .max))"
        let quoted = password.replacingOccurrences(of: "'", with: "''")
        let made = try sql(
            """
            SET log_statement = none; CREATE ROLE \(name) PASSWORD '\(quoted)';
            SELECT rolpassword FROM pg_authid WHERE rolname = '\(name)'; DROP ROLE \(name)
            """
        )
        return made
    }

    private static var owner: String { geteuid() == 0 ? "postgres" : "\(geteuid())" }

    private static var asOwner: String {
        geteuid() == 0 ? "setpriv --reuid=postgres --regid=postgres --clear-groups " : ""
    }

    private static func check(_ what: String, _ script: String) throws {
        let process = try RunningProcess("/bin/sh", ["-c", "cd / && " + script])
        let status = try process.wait()
        guard status == 0 else { throw RunningProcess.Failure(description: "\(what): \(process.output)") }
    }

    private static func makeCertificates(
        _ kind: Certificate,
        in folder: TestFolder,
        data: String
    ) throws -> String {
        let path = folder.path
        let subject = kind == .ofAnotherName ? "DNS:db.example.org" : "DNS:localhost,IP:127.0.0.1"
        let days = kind == .expired ? -1 : 2
        let names = try folder.write("names", "subjectAltName=\(subject)\n")
        let script = """
            cd \(path) && key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
            openssl req -x509 $key -keyout ca.key -out ca.pem -days 2 -subj '/CN=Test authority' &&
            openssl req $key -keyout server.key -out server.csr -subj /CN=localhost &&
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days \(days) -extfile \(names) \
            -out server.pem && chmod 600 server.key && chown \(owner) server.key server.pem &&
            mv server.key server.pem \(data)/
            """
        try check("openssl", script)
        return String(decoding: FileManager.default.contents(atPath: path + "/ca.pem") ?? Data(), as: UTF8.self)
    }

    /// A TCP port of 127.0.0.1 on which nobody listens now.
    package static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard status == 0 else { throw RunningProcess.Failure(description: "no free port") }
        return UInt16(bigEndian: address.sin_port)
    }
}
