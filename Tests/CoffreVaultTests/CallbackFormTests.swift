import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Testing

@testable import CoffreVault

/// The query of a callback's address.
@Suite struct CallbackFormTests {
    private static func read(_ bytes: [UInt8]) throws -> [String: String]? {
        let json = try bytes.withUnsafeBytes { try CallbackForm.json($0) }
        return try json?.withBytes { bytes in
            let view = try JSONView(bytes)
            return Dictionary(uniqueKeysWithValues: view.members.map { ($0.0, $0.1.string ?? "?") })
        }
    }

    private static func read(_ text: String) throws -> [String: String]? { try read(Array(text.utf8)) }

    @Test func pairsAreDecodedOnce() throws {
        #expect(
            try Self.read("state=a&code=4%2F0A%2Bb+c%22%5C%0A&iss=https%3A%2F%2Fa.example") == [
                "state": "a", "code": "4/0A+b c\"\\\n", "iss": "https://a.example",
            ]
        )
        #expect(try Self.read("state=&&x=%25zz%C3%A9") == ["state": "", "x": "%zzé"])
        #expect(try Self.read("a=b=c") == ["a": "b=c"])
    }

    @Test(arguments: ["", "{}", " {}", "hello", "null", "[1]", "\"a=b\"", "&a=b", "=b", "%61=b"])
    func whatIsNoFormIsLeftToOthers(_ text: String) throws { #expect(try Self.read(text) == nil) }

    @Test(arguments: [
        "a=1&a=2", "a=1&%61=2", "a=%zz", "a=%4", "a=%", "a=%ff", "a=%C3", "a= b", "a=é", "a=b\n", "a=b&c", "a=b&=c",
        "a=b&\u{0}=c", "a=\u{7f}",
    ])
    func whatNoBrowserSendsIsRefused(_ text: String) { #expect(throws: VaultError.self) { try Self.read(text) } }

    @Test func sizesAreHeld() throws {
        #expect(throws: VaultError.self) { try Self.read("a=" + String(repeating: "b", count: CallbackForm.longest)) }
        let pairs = { (count: Int) in (0..<count).map { "a\($0)=b" }.joined(separator: "&") }
        #expect(try Self.read(pairs(32))?.count == 32)
        #expect(throws: VaultError.self) { try Self.read(pairs(33)) }
        #expect(throws: VaultError.self) { try Self.read(String(repeating: "a", count: 65) + "=b") }
    }

    @Test func damagedFormsNeverCrashAndAlwaysMakeJSON() throws {
        let whole = Array("state=abc&code=4%2F0A%2Bb+c%22%5C%0A&iss=https%3A%2F%2Fa.example&x=%C3%A9".utf8)
        var random = SeededGenerator(5)
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            do { _ = try Self.read(bytes) } catch let error as VaultError {
                #expect(error.code == .badRequest)
            }
        }
    }
}
