import CoffreWire
import Testing

@testable import CoffreCatalogue

struct PostalAccountTests {
    /// The account of a public calculator's example: CCP key 88, RIP key 41.
    @Test(arguments: ["88", "41"])
    func bothKeysOfAnAccountFit(key: String) {
        #expect(PostalAccount.key(Array(key.utf8), fits: Array("0023456789".utf8)) == true)
        #expect(PostalAccount.key(Array(key.utf8), fits: Array("23456789".utf8)) == true)
        #expect(PostalAccount.key(Array("40".utf8), fits: Array("23456789".utf8)) == false)
        #expect(PostalAccount.key(Array(key.utf8), fits: Array("1234567890123".utf8)) == nil)
    }

    @Test(arguments: 0..<200)
    func oneKeyFitsAnAccount(number: Int) {
        let account = String(7_654_321 &* (number + 1) % 10_000_000_000)
        let padded = String(repeating: "0", count: 10 - account.count) + account
        let keys = (0...99).filter { key in
            PostalAccount.defect(of: Array("00799999\(padded)\(key < 10 ? "0" : "")\(key)".utf8)) == nil
        }
        #expect(keys.count == 1 || keys == [0, 97])
    }

    @Test(arguments: [
        ("00799999002345678941", nil), ("00799999002345678942", PostalAccount.Defect.key),
        ("00799999002345679841", .key), ("00799998002345678941", .prefix), ("0079999900234567894", .length),
        ("007 99999 0023456789 41", .length), ("0079999900234567894x", .length), ("", .length),
    ])
    func aWrongNumberSaysWhatIsWrong(rip: String, defect: PostalAccount.Defect?) {
        #expect(PostalAccount.defect(of: Array(rip.utf8)) == defect)
    }

    @Test func aRIPWithAWrongKeyIsRefusedByName() throws {
        let baridimob = try Catalogue.connector("baridimob")
        #expect(try baridimob.check("rip", "00799999002345678941").isEmpty)
        let findings = try baridimob.check("rip", "00799999002345678942")
        #expect(findings.map(\.field) == ["rip"])
        #expect(findings.map(\.severity) == [.refuse])
        #expect(findings.first?.message.french == "rip a une clé qui n'est pas celle du compte")
    }

    @Test func aKeyBesideItsAccountIsDoubtedOnly() throws {
        let baridimob = try Catalogue.connector("baridimob")
        let form = { (account: String, key: String) in
            try baridimob.check(#"{"ccp_number":"\#(account)","rip_key":"\#(key)"}"#, isWhole: false)
        }
        #expect(try form("23456789", "41").isEmpty)
        #expect(try form("23456789", "42").map(\.severity) == [.warn])
        // The product guide's own example has 13 digits, for which no rule is known.
        #expect(try form("1234567890123", "00").isEmpty)
    }
}
