internal import CoffreConnectors
internal import CoffreHost
internal import CoffreWire
internal import Glibc

/// broker.toml, checked. Every property has the default that coffre-broker(8) names.
struct BrokerConfiguration: Sendable {
    /// The socket, ignored when systemd passes one.
    let socket: String
    /// Where parked answers lie: `$STATE_DIRECTORY`, else `/var/lib/coffre-broker`.
    let stateDirectory: String
    /// The uid that is obeyed.
    let coffredUID: UInt32
    /// What `allow` says.
    let policy: EgressPolicy
    /// Which web and mail servers are believed: `tls_minimum`, `ca_file`.
    let trust: WebTrust
    /// The one folder with SQLite files; empty means none.
    let sqliteDirectory: String

    /// - Parameters:
    ///   - file: what broker.toml says; unknown keys are errors.
    ///   - fromEnvironment: `$STATE_DIRECTORY`, when the service manager set it.
    /// - Throws: ``ConfigurationError`` with the line.
    init(_ file: ConfigurationFile, stateDirectory fromEnvironment: String?) throws(ConfigurationError) {
        var file = file
        socket = try Self.path(&file, "socket") ?? "/run/coffre-broker/broker.sock"
        if socket.utf8.count > 107 { throw file.error("socket", "is longer than the 107 bytes of unix(7)") }
        stateDirectory = try Self.path(&file, "state_directory") ?? fromEnvironment ?? "/var/lib/coffre-broker"
        let user = try file.text("coffred_user") ?? "coffre"
        let allow = try file.texts("allow") ?? []
        let folder = try file.text("sqlite_directory") ?? ""
        guard folder.isEmpty || folder.hasPrefix("/") && !folder.utf8.contains(0) else {
            throw file.error("sqlite_directory", "takes an absolute path, or \"\" for none")
        }
        sqliteDirectory = folder
        trust = try Self.trust(&file)
        try file.finish()
        do throws(EgressPolicyError) {
            policy = try EgressPolicy(allow: allow)
        } catch {
            throw file.error("allow", "entry \(error.index + 1) \(error.message)")
        }
        do throws(HostError) {
            coffredUID = try ServiceUsers.user(named: user).uid
        } catch {
            throw file.error("coffred_user", "names no user: \(error.message)")
        }
    }

    private static func trust(_ file: inout ConfigurationFile) throws(ConfigurationError) -> WebTrust {
        let minimum: BrokerJob.MinimumTLS
        switch try file.text("tls_minimum") ?? "1.3" {
        case "1.3": minimum = .tls13
        case "1.2": minimum = .tls12
        default: throw file.error("tls_minimum", "takes \"1.3\" or \"1.2\"")
        }
        let certificates = try path(&file, "ca_file").map { path throws(ConfigurationError) in
            guard let bytes = Self.contents(of: path) else {
                throw file.error("ca_file", "names a file that cannot be read, or is larger than 1 MiB: \(path)")
            }
            return bytes
        }
        do throws(WebTrust.Failure) {
            return try WebTrust(minimumTLS: minimum, certificates: certificates)
        } catch {
            throw file.error("ca_file", error.message)
        }
    }

    private static func contents(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: (1 << 20) + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { return nil }
            if got == 0 { return Array(bytes[..<count]) }
            count += got
        }
        return nil
    }

    private static func path(
        _ file: inout ConfigurationFile,
        _ key: String
    ) throws(ConfigurationError) -> String? {
        guard let path = try file.text(key) else { return nil }
        guard path.hasPrefix("/"), !path.utf8.contains(0) else { throw file.error(key, "takes an absolute path") }
        return path
    }
}
