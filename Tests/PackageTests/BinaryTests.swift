import CoffreTestSupport
import Foundation
import Testing

/// The manifest shows no transitive links: what the programs really load and contain.
struct BinaryTests {
    /// A program as the tests were built, and as it is installed when `make test` has said where that lies.
    struct Program: Sendable, CustomTestStringConvertible {
        let name: String
        let path: String
        var isInstalled: Bool { path.hasPrefix(BinaryTests.release ?? "/nowhere") }
        var testDescription: String { isInstalled ? "\(name), release" : "\(name), debug" }
    }

    private static let release = ProcessInfo.processInfo.environment["COFFRE_TEST_RELEASE"]

    private static func programs(_ name: String) -> [Program] {
        let debug = Program(name: name, path: PackageFolder.program(name))
        guard let release else { return [debug] }
        return [debug, Program(name: name, path: release + "/" + name)]
    }

    private static let coffred = programs("coffred")
    private static let broker = programs("coffre-broker")
    private static let coffre = programs("coffre")

    /// libcrypto, not libssl; libsystemd brings the four compressors and libgcrypt.
    private static let coffredMayLoad: Set<String> = [
        "libcrypto", "libsodium", "libsqlite3", "libsystemd", "libcap", "libgcrypt", "libgpg-error", "liblzma",
        "libzstd", "liblz4", "libc", "libm", "libgcc_s", "libstdc++", "ld-linux-x86-64", "ld-linux-aarch64",
        "linux-vdso",
    ]
    private static let coffreMayLoad: Set<String> = coffredMayLoad.subtracting(["libsystemd"])

    /// The Swift runtime, which a debug build loads and a release has inside.
    private static let runtime: Set<String> = [
        "libBlocksRuntime", "libdispatch", "libFoundation", "libFoundationEssentials",
        "libFoundationInternationalization", "lib_FoundationICU",
    ]

    /// Libraries that the loader maps for `program`, without version: `libssl`, `libc`.
    private static func loaded(by program: Program) throws -> Set<String> {
        let (status, output) = try RunningProcess.run("/usr/bin/env", ["ldd", program.path])
        try #require(status == 0, "\(output)")
        try #require(!output.contains("not found"), "\(output)")
        let names = output.split(separator: "\n").compactMap { line -> String? in
            let first = line.split(whereSeparator: \.isWhitespace).first
            return first?.split(separator: "/").last?.components(separatedBy: ".so").first
        }
        return Set(names).filter { !runtime.contains($0) && !$0.hasPrefix("libswift") }
    }

    /// Symbols that `program` defines or wants, as the linker spells them.
    private static func symbols(of program: Program) throws -> [Substring] {
        let folder = try TestFolder("nm")
        let list = folder.file("symbols")
        let command = "exec nm --format=just-symbols \"$1\" > \"$2\""
        let (status, output) = try RunningProcess.run("/bin/sh", ["-c", command, "sh", program.path, list])
        try #require(status == 0, "\(output)")
        let text = try String(decoding: Data(contentsOf: URL(fileURLWithPath: list)), as: UTF8.self)
        let names = text.split(separator: "\n").map { $0.prefix { $0 != "@" } }
        try #require(names.count > 1000, "\(program.path) has been stripped")
        return names
    }

    /// The prefix of every mangled name of a module.
    private static func mangled(_ module: String) -> String { "$s\(module.utf8.count)\(module)" }

    @Test(arguments: coffred)
    func coffredLoadsNothingBeyondItsList(program: Program) throws {
        let loaded = try Self.loaded(by: program)
        #expect(loaded.isSuperset(of: ["libcrypto", "libsodium", "libsqlite3", "libsystemd"]))
        #expect(loaded.subtracting(Self.coffredMayLoad).isEmpty)
    }

    @Test(arguments: coffre)
    func theCommandLineLoadsNoDriverAndNoTransport(program: Program) throws {
        #expect(try Self.loaded(by: program).subtracting(Self.coffreMayLoad).isEmpty)
    }

    @Test(arguments: broker)
    func theBrokerLoadsNoEmbeddedDatabase(program: Program) throws {
        let loaded = try Self.loaded(by: program)
        #expect(loaded.contains("libpq"))
        #expect(!loaded.contains("libsqlite3"))
    }

    @Test(arguments: coffred)
    func coffredContainsNoTransportSecurityNoDriverAndNoClient(program: Program) throws {
        let modules = [
            "CoffreConnectors", "CoffreClient", "NIOSSL", "NIOHTTP1", "NIOHTTP2", "AsyncHTTPClient",
            "FoundationNetworking", "PostgresNIO", "MySQLNIO", "Network",
        ]
        let functions = [
            "SSL_", "TLS_", "DTLS_", "CNIOBoringSSL", "gnutls_", "curl_", "nghttp2_", "PQ", "mysql_", "mariadb_",
            "redisConnect", "cairo_", "pango_",
        ]
        let forbidden = modules.map(Self.mangled) + functions
        let symbols = try Self.symbols(of: program)
        #expect(symbols.contains { $0.hasPrefix(Self.mangled("CoffreVault")) })
        #expect(symbols.filter { symbol in forbidden.contains { symbol.hasPrefix($0) } }.isEmpty)
    }

    @Test(arguments: broker)
    func theBrokerContainsNothingThatKeepsSecrets(program: Program) throws {
        let forbidden = ["CoffreVault", "CoffreStorage", "CoffreAudit", "CoffreAPI"].map(Self.mangled) + ["sqlite3_"]
        let symbols = try Self.symbols(of: program)
        #expect(symbols.contains { $0.hasPrefix(Self.mangled("CoffreConnectors")) })
        #expect(symbols.filter { symbol in forbidden.contains { symbol.hasPrefix($0) } }.isEmpty)
    }

    @Test(arguments: coffred.filter(\.isInstalled) + broker.filter(\.isInstalled))
    func anInstalledDaemonCarriesItsRuntimeAndNoFoundation(program: Program) throws {
        let (status, output) = try RunningProcess.run("/usr/bin/env", ["ldd", program.path])
        #expect(status == 0)
        #expect(!output.contains("libswift"))
        #expect(!output.contains("libFoundation"))
    }
}
