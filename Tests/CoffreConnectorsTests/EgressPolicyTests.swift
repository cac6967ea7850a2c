import CoffreConnectors
import CoffreWire
import Testing

@Suite struct EgressPolicyTests {
    private static let never = [
        "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255",
        "240.0.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "::", "fe80::1", "ff02::1", "fd00:ec2::254",
        "::ffff:169.254.169.254", "::ffff:0.0.0.0", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "::5",
        "::127.0.0.1", "2001::1",
    ]
    private static let onlyIfAllowed = [
        "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "100.64.0.1", "100.127.255.255", "198.18.0.1", "::1", "fc00::1", "fd12::1", "fec0::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::", "64:ff9b:1::1",
    ]
    private static let open = [
        "1.1.1.1", "9.255.255.255", "11.0.0.0", "126.1.1.1", "128.0.0.1", "172.15.255.255", "172.32.0.0",
        "192.167.1.1", "192.169.0.0", "100.63.255.255", "100.128.0.0", "169.253.1.1", "169.255.0.1", "223.255.255.255",
        "2606:4700::1111", "fbff::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::",
    ]

    @Test(arguments: never)
    func someAddressesAreClosedWhateverIsAllowed(text: String) throws {
        let address = try #require(NetworkAddress(text))
        let policy = try EgressPolicy(allow: ["128.0.0.0/1", "0.0.0.0/1", "8000::/1", "::/1"])
        #expect(EgressPolicy.reach(address) == .never)
        #expect(!policy.permits(address, port: 5432))
    }

    @Test(arguments: onlyIfAllowed)
    func privateAddressesNeedAnEntry(text: String) throws {
        let address = try #require(NetworkAddress(text))
        #expect(EgressPolicy.reach(address) == .onlyIfAllowed)
        #expect(try !EgressPolicy(allow: []).permits(address, port: 5432))
        #expect(try !EgressPolicy(allow: ["10.9.9.9:5432"]).permits(address, port: 5432))
    }

    @Test(arguments: open)
    func publicAddressesAreOpen(text: String) throws {
        let address = try #require(NetworkAddress(text))
        #expect(EgressPolicy.reach(address) == .open)
        #expect(try EgressPolicy(allow: []).permits(address, port: 1))
    }

    @Test(arguments: [
        ("127.0.0.1:5432", "127.0.0.1", 5432, true), ("127.0.0.1:5432", "127.0.0.1", 5433, false),
        ("127.0.0.1:5432", "127.0.0.2", 5432, false), ("127.0.0.1", "127.0.0.1", 1, true),
        ("10.0.0.0/8", "10.200.3.4", 5432, true), ("10.0.0.0/8", "192.168.0.1", 5432, false),
        ("10.0.0.0/9", "10.127.0.1", 1, true), ("10.0.0.0/9", "10.128.0.1", 1, false),
        ("10.1.0.0/16:6000", "10.1.2.3", 6000, true), ("10.1.0.0/16:6000", "10.1.2.3", 6001, false),
        ("[::1]:5433", "::1", 5433, true), ("[::1]:5433", "::1", 5432, false), ("::1", "::1", 9, true),
        ("fd00::/8", "fd12::1", 1, true), ("[fd00::/8]:5432", "fd12::1", 5432, true),
        ("127.0.0.1:5432", "::ffff:127.0.0.1", 5432, true), ("10.0.0.0/8", "::ffff:10.1.1.1", 1, true),
    ])
    func anEntryOpensWhatItSays(entry: String, text: String, port: UInt16, permitted: Bool) throws {
        let address = try #require(NetworkAddress(text))
        #expect(try EgressPolicy(allow: [entry]).permits(address, port: port) == permitted)
    }

    @Test(arguments: [
        "", "localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/-1", "127.0.0.1:", "127.0.0.1:0",
        "127.0.0.1:65536", "127.0.0.1:+5", "127.1", "[127.0.0.1]:5", "[::1", "[::1]5", "::1/129", "fd00::1/8",
        "0.0.0.0/0", "::/0", "169.254.0.0/16", "169.254.169.254", "fe80::/10", "fe80::1", "224.0.0.1", "0.0.0.0",
        "/run/postgresql", "*", "10.0.0.0/8 ",
    ])
    func aUselessEntryIsRefusedWithItsPlace(entry: String) {
        let error = #expect(throws: EgressPolicyError.self) { try EgressPolicy(allow: ["10.0.0.0/8", entry]) }
        #expect(error?.index == 1)
    }

    @Test(arguments: ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "localhost", "::1", "::ffff:127.0.0.1", "0"])
    func everySpellingOfLoopbackIsJudgedByItsAddress(host: String) throws {
        let error = #expect(throws: BrokerFailure.self) {
            try NameResolution.addresses(of: host, port: 5432, policy: EgressPolicy(allow: []))
        }
        #expect(error?.code == .egressDenied)
    }

    @Test(arguments: ["/var/run/postgresql", "@socket", "a\0b"])
    func socketsAreNotHosts(host: String) {
        let error = #expect(throws: BrokerFailure.self) {
            try NameResolution.addresses(of: host, port: 5432, policy: EgressPolicy(allow: []))
        }
        #expect(error?.code == .egressDenied)
    }

    @Test func aNameWithoutAddressSaysSo() {
        let error = #expect(throws: BrokerFailure.self) {
            try NameResolution.addresses(of: "nothing.invalid", port: 5432, policy: EgressPolicy(allow: []))
        }
        #expect(error?.code == .dns)
    }
}
