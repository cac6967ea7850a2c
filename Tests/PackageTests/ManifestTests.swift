import CoffreTestSupport
import Testing

/// The target list is the architecture: dependencies form this graph and no other.
struct ManifestTests {
    /// What each target may list. One that is not here may not exist.
    private static let mayList: [String: Set<String>] = [
        "COpenSSL": [], "CSodium": [], "CSQLite": [], "CSystemd": [], "CZstd": [], "CPostgres": [], "CCoffreShims": [],
        "CCoffreCatalogue": [],
        "CoffreWire": [],
        "CoffreCatalogue": ["CoffreWire", "CCoffreCatalogue"],
        "CoffreCrypto": ["COpenSSL", "CSodium", "CCoffreShims"],
        "CoffreStorage": ["CSQLite", "CCoffreShims"],
        "CoffreAudit": ["CoffreCrypto", "CoffreStorage", "CCoffreShims", "CZstd"],
        "CoffreInsight": [],
        "CoffreVault": ["CoffreWire", "CoffreCatalogue", "CoffreCrypto", "CoffreStorage", "CoffreAudit", "JWTKit"],
        "CoffreHost": ["CSystemd", "CCoffreShims", "Logging", "TOMLKit"],
        "CoffreAPI": [
            "CoffreWire", "CoffreVault", "CoffreAudit", "CoffreCrypto", "CoffreHost", "NIOCore", "NIOPosix",
        ],
        "CoffreClient": ["CoffreWire", "NIOCore", "NIOPosix", "NIOHTTP1"],
        "CoffreConnectors": [
            "CoffreWire", "CoffreCrypto", "CPostgres", "AsyncHTTPClient", "NIOSSL", "NIOCore", "NIOPosix", "NIOHTTP1",
        ],
        "coffred": [
            "CoffreAPI", "CoffreVault", "CoffreAudit", "CoffreInsight", "CoffreStorage", "CoffreCrypto", "CoffreHost",
            "CoffreWire", "NIOCore", "NIOPosix", "Logging", "ServiceLifecycle", "UnixSignals", "ArgumentParser",
            "TOMLKit",
        ],
        "coffre-broker": [
            "CoffreConnectors", "CoffreCrypto", "CoffreWire", "CoffreHost", "Logging", "ServiceLifecycle",
            "UnixSignals", "ArgumentParser", "TOMLKit",
        ],
        "coffre": [
            "CoffreClient", "CoffreCatalogue", "CoffreAudit", "CoffreInsight", "CoffreStorage", "CoffreCrypto",
            "CoffreWire", "ArgumentParser",
        ],
    ]

    /// Who alone may list what: the doors to the outside.
    private static let doors: [String: Set<String>] = [
        "CCoffreCatalogue": ["CoffreCatalogue"],
        "COpenSSL": ["CoffreCrypto"],
        "CSodium": ["CoffreCrypto"],
        "CSQLite": ["CoffreStorage"],
        "CSystemd": ["CoffreHost"],
        "CZstd": ["CoffreAudit"],
        "CPostgres": ["CoffreConnectors"],
        "AsyncHTTPClient": ["CoffreConnectors"],
        "NIOSSL": ["CoffreConnectors"],
        "JWTKit": ["CoffreVault"],
        "CoffreConnectors": ["coffre-broker"],
        "CoffreVault": ["CoffreAPI", "coffred"],
        "CoffreAPI": ["coffred"],
        "CoffreClient": ["coffre"],
    ]

    /// Targets that only tests use.
    private static let forTests: Set<String> = ["audit-bench", "CoffreTestSupport", "coffre-log-driver"]

    private static let required: Set<String> = [
        "enableUpcomingFeature=ExistentialAny", "enableUpcomingFeature=InternalImportsByDefault",
        "enableUpcomingFeature=NonisolatedNonsendingByDefault",
        "enableUpcomingFeature=MemberImportVisibility", "treatAllWarnings=error",
    ]

    @Test func everyTargetListsOnlyWhatTheModuleMapAllows() throws {
        let manifest = try PackageManifest.current.get()
        let shipped = manifest.targets.filter { $0.type != "test" && !Self.forTests.contains($0.name) }
        #expect(Set(shipped.map(\.name)) == Set(Self.mayList.keys))
        for target in shipped {
            let extra = Set(target.dependencies.map(\.name)).subtracting(Self.mayList[target.name] ?? [])
            #expect(extra.isEmpty, "\(target.name) lists \(extra.sorted())")
        }
    }

    @Test(arguments: doors.keys.sorted())
    func aDoorToTheOutsideHasNoOtherKeeper(door: String) throws {
        let manifest = try PackageManifest.current.get()
        let keepers = manifest.targets.filter { $0.type != "test" && manifest.dependencies(of: $0.name).contains(door) }
        #expect(Set(keepers.map(\.name)) == Self.doors[door])
    }

    @Test(arguments: [
        ("coffred", ["CPostgres", "CoffreConnectors", "CoffreClient", "NIOHTTP1", "NIOSSL", "AsyncHTTPClient"]),
        (
            "coffre-broker",
            ["CSQLite", "CoffreStorage", "CoffreAudit", "CoffreVault", "CoffreAPI", "CoffreClient", "JWTKit"]
        ),
        (
            "coffre",
            [
                "CPostgres", "CoffreConnectors", "CoffreVault", "CoffreAPI", "CoffreHost", "NIOSSL", "AsyncHTTPClient",
                "JWTKit",
            ]
        ),
    ])
    func aProcessReachesNothingOfAnothersTrade(process: String, forbidden: [String]) throws {
        let reachable = try PackageManifest.current.get().reachable(from: process)
        #expect(reachable.contains("CoffreWire"))
        #expect(reachable.isDisjoint(with: forbidden))
    }

    @Test func everySwiftTargetIsBuiltUnderTheSameRules() throws {
        let swift = try PackageManifest.current.get().targets.filter { $0.type != "system" && !$0.name.hasPrefix("C") }
        let libraries = try PackageManifest.current.get().targets.filter { $0.name.hasPrefix("Coffre") }
        for target in swift + libraries {
            #expect(target.settingNames.isSuperset(of: Self.required), "\(target.name)")
        }
        #expect(libraries.count > 10)
    }
}
