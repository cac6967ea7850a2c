internal import CoffreHost
internal import CoffreVault
internal import Glibc
internal import NIOCore
internal import NIOPosix

extension Daemon {
    /// An initialised, unsealed vault in a private temporary folder that goes with the process.
    /// - Throws: ``StartFailure``.
    static func runDevelopment() async throws {
        guard getenv("INVOCATION_ID") == nil, getenv("NOTIFY_SOCKET") == nil else {
            throw StartFailure(message: "--dev does not run under systemd", status: 78)
        }
        let base = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array((base + "/coffre-dev-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw StartFailure(message: "no temporary folder in \(base)", status: 1)
        }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { remove(folder) }
        let configuration = Configuration(developmentIn: folder, user: String(geteuid()))
        let daemon = Daemon(configuration)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let parts = try daemon.open(group.next())
        let token: String
        do {
            token = try await parts.vault.initializeForDevelopment()
        } catch {
            throw StartFailure(message: "the vault cannot be made: \(reason(error))", status: 1)
        }
        print("socket: \(configuration.socket)\nroot token: \(token)")
        print(
            "fetch:  curl --unix-socket \(configuration.socket) -H 'X-Vault-Token: …' http://localhost/v1/secret/data/NAME"
        )
        print("log:    \(configuration.auditDirectory)")
        fflush(nil)
        let socket: ListeningSocket
        do {
            socket = try ListeningSocket(path: configuration.socket, mode: configuration.socketMode)
        } catch {
            throw StartFailure(message: error.message, status: 1)
        }
        try await daemon.serve(parts, socket: socket)
        try await group.shutdownGracefully()
    }

    private static func remove(_ path: String) {
        if let folder = opendir(path) {
            while let entry = readdir(folder) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name != ".", name != ".." { remove(path + "/" + name) }
            }
            closedir(folder)
        }
        _ = Glibc.remove(path)
    }
}
