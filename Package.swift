// swift-tools-version: 6.2
// The target list is the architecture: which process may link what. Tests/PackageTests checks it.
import PackageDescription

let base: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    // A closure without isolation of its own stays on the executor of whoever calls it: the vault's state is confined to one.
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]
let library: [SwiftSetting] = base

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let toml: Target.Dependency = .product(name: "TOMLKit", package: "TOMLKit")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let jwtKit: Target.Dependency = .product(name: "JWTKit", package: "jwt-kit")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")

let package = Package(
    name: "coffre",
    products: [
        .executable(name: "coffred", targets: ["coffred"]),
        .executable(name: "coffre-broker", targets: ["coffre-broker"]),
        .executable(name: "coffre", targets: ["coffre"]),
        .library(name: "CoffreClient", targets: ["CoffreClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
    ],
    targets: [
        // System libraries. Only CoffreCrypto lists COpenSSL (libcrypto) and CSodium; only CoffreConnectors lists CPostgres,
        // and what speaks to a network.
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .target(name: "CCoffreShims"),
        // The data file of the catalogue, inside the programs.
        .target(name: "CCoffreCatalogue", exclude: ["catalogue.json"]),

        // Values and codecs that cross a process boundary.
        .target(name: "CoffreWire", swiftSettings: library),
        .target(name: "CoffreCatalogue", dependencies: ["CoffreWire", "CCoffreCatalogue"], swiftSettings: library),
        .target(
            name: "CoffreCrypto",
            dependencies: ["COpenSSL", "CSodium", "CCoffreShims"],
            swiftSettings: library
        ),
        .target(name: "CoffreStorage", dependencies: ["CSQLite", "CCoffreShims"], swiftSettings: library),
        .target(
            name: "CoffreAudit",
            dependencies: ["CoffreCrypto", "CoffreStorage", "CCoffreShims", "CZstd"],
            swiftSettings: library
        ),
        // Finds what is unlike the habit in audit events. Never sees a secret.
        .target(name: "CoffreInsight", swiftSettings: library),
        .target(
            name: "CoffreVault",
            dependencies: ["CoffreCatalogue", "CoffreWire", "CoffreCrypto", "CoffreStorage", "CoffreAudit", jwtKit],
            swiftSettings: library
        ),
        .target(name: "CoffreHost", dependencies: ["CSystemd", "CCoffreShims", logging, toml], swiftSettings: library),
        .target(
            name: "CoffreAPI",
            dependencies: [
                "CoffreWire", "CoffreVault", "CoffreAudit", "CoffreCrypto", "CoffreHost", nioCore, nioPosix,
            ],
            swiftSettings: library
        ),
        .target(
            name: "CoffreClient",
            dependencies: ["CoffreWire", nioCore, nioPosix, nioHTTP1],
            swiftSettings: library
        ),
        .target(
            name: "CoffreConnectors",
            dependencies: ["CoffreWire", "CoffreCrypto", "CPostgres", httpClient, nioSSL, nioCore, nioPosix, nioHTTP1],
            swiftSettings: library
        ),

        // Composition roots.
        .executableTarget(
            name: "coffred",
            dependencies: [
                "CoffreAPI", "CoffreVault", "CoffreAudit", "CoffreInsight", "CoffreStorage", "CoffreCrypto",
                "CoffreHost",
                "CoffreWire", nioCore, nioPosix, logging, lifecycle, signals, arguments,
            ],
            exclude: ["coffred.8", "coffre.toml.5"],
            swiftSettings: base
        ),
        .executableTarget(
            name: "coffre-broker",
            dependencies: [
                "CoffreConnectors", "CoffreCrypto", "CoffreWire", "CoffreHost", logging, lifecycle, signals, arguments,
            ],
            exclude: ["coffre-broker.8"],
            swiftSettings: base
        ),
        .executableTarget(
            name: "coffre",
            dependencies: [
                "CoffreClient", "CoffreCatalogue", "CoffreAudit", "CoffreInsight", "CoffreStorage", "CoffreCrypto",
                "CoffreWire", arguments,
            ],
            exclude: ["coffre.1"],
            // What lies in every proof bundle.
            resources: ["README.txt", "LISEZMOI.txt", "verify.py"].map { .embedInCode("Audit/Export/Bundle/\($0)") },
            // The optimiser of Swift 6.3.1 crashes on these coroutines; a command line has no use for it.
            swiftSettings: base + [.unsafeFlags(["-Onone"], .when(configuration: .release))]
        ),

        .target(name: "CoffreTestSupport", path: "Tests/CoffreTestSupport", swiftSettings: base),
        // Writes logs under a real process whose system calls are made to fail.
        .executableTarget(
            name: "coffre-log-driver",
            dependencies: ["CoffreAudit"],
            path: "Tests/coffre-log-driver",
            swiftSettings: base
        ),
        // Measures the index of a log that it writes.
        .executableTarget(
            name: "audit-bench",
            dependencies: ["CoffreAudit"],
            path: "Tests/AuditBench",
            swiftSettings: base
        ),
    ]
        + [
            ("CoffreWireTests", ["CoffreWire", "CoffreCrypto"]),
            ("CoffreCatalogueTests", ["CoffreCatalogue", "CoffreWire"]),
            ("CoffreCryptoTests", ["CoffreCrypto"]),
            ("CoffreStorageTests", ["CoffreStorage", "CoffreCrypto"]),
            ("CoffreAuditTests", ["CoffreAudit", "CoffreStorage", "CoffreCrypto", "CCoffreShims", "CZstd"]),
            ("CoffreInsightTests", ["CoffreInsight"]),
            (
                "CoffreVaultTests",
                [
                    "CoffreVault", "CoffreAudit", "CoffreCatalogue", "CoffreStorage", "CoffreCrypto", "CoffreWire",
                    jwtKit,
                ]
            ),
            ("CoffreHostTests", ["CoffreHost", logging]),
            (
                "CoffreAPITests",
                ["CoffreAPI", "CoffreVault", "CoffreAudit", "CoffreCrypto", "CoffreHost", nioCore, nioPosix]
            ),
            ("CoffreClientTests", ["CoffreClient", "CoffreWire", "CoffreAudit"]),
            ("CoffreConnectorsTests", ["CoffreConnectors", "CoffreVault", "CoffreWire", "CoffreCrypto", "CoffreHost"]),
            ("PackageTests", []),
            ("IntegrationTests", ["CoffreWire", "CoffreCrypto", "CoffreVault", "CoffreAudit"]),
        ].map { (name: String, dependencies: [Target.Dependency]) in
            .testTarget(
                name: name,
                dependencies: dependencies + ["CoffreTestSupport"],
                exclude: name == "CoffreAuditTests" ? ["Vectors"] : [],
                swiftSettings: base
            )
        },
    swiftLanguageModes: [.v6]
)
