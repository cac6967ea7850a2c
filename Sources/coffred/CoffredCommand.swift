internal import ArgumentParser
internal import CoffreHost
internal import Glibc

/// Version of this release.
enum Release {
    static let version = "0.1.0"
}

@main
struct CoffredCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coffred",
        abstract: "Coffre's vault and audit daemon: holds the keys, decides, records.",
        discussion: """
            EXAMPLES
              coffred --config /etc/coffre/coffre.toml   run with a configuration
              coffred --dev                              an unsealed vault in a private temporary folder

            EXIT STATUS
              0 stopped cleanly · 1 failed · 64 usage · 69 the socket or the state is in use · 78 configuration

            See coffred(8) and coffre.toml(5).
            """,
        version: Release.version
    )

    @Option(name: .long, help: "The configuration file, coffre.toml(5).")
    var config: String?

    @Flag(
        name: .long,
        help: "Start an initialised, unsealed vault in a private temporary folder; for development only."
    )
    var dev = false

    func validate() throws {
        guard dev != (config != nil) else {
            throw ValidationError("give either --config FILE or --dev")
        }
    }

    func run() async throws {
        do {
            try ProcessHardening.apply()
            if dev {
                try await Daemon.runDevelopment()
            } else if let config {
                let file = try ConfigurationFile.read(config)
                let configuration = try Configuration(
                    file,
                    stateDirectory: getenv("STATE_DIRECTORY").map { String(cString: $0) }
                )
                try await Daemon(configuration).run()
            }
        } catch let failure as StartFailure {
            Self.leave(failure.message, failure.status)
        } catch let error as ConfigurationError {
            Self.leave(error.description, 78)
        }
    }

    private static func leave(_ message: String, _ status: Int32) -> Never {
        let line = Array("coffred: \(message)\n".utf8)
        _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
        Glibc.exit(status)
    }
}

/// Why the daemon does not start.
struct StartFailure: Error {
    let message: String
    /// sysexits(3).
    let status: Int32
}
