import CoffreCrypto
import Testing

struct KeyDerivationTests {
    /// RFC 5869 A.3, the case without info.
    @Test func expandGivesTheValueOfTheRFC() {
        let key = guarded(hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04"))
        let output = key.withSecret { SharedSecret(KeyDerivation.subkey(from: $0, context: "", count: 42)) }
        #expect(
            output.bytes == hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")
        )
    }

    /// RFC 5869 §2.3 written out with HMAC alone, for lengths around block ends and the longest output.
    @Test(arguments: [1, 31, 32, 33, 64, 100, 8160])
    func expandFollowsItsDefinition(count: Int) {
        let key = guarded(Array(UInt8(0)..<32))
        let mac = key.withSecret { HMACKey($0) }
        var expected: [UInt8] = []
        var block: [UInt8] = []
        var counter: UInt8 = 1
        while expected.count < count {
            block = mac.authenticate(block + Array("coffre test".utf8) + [counter]).bytes
            expected += block
            counter &+= 1
        }
        let output = key.withSecret {
            SharedSecret(KeyDerivation.subkey(from: $0, context: "coffre test", count: count))
        }
        #expect(output.bytes == Array(expected.prefix(count)))
    }

    /// RFC 7677 §3: SCRAM-SHA-256 with user "user" and password "pencil".
    @Test func pbkdf2GivesTheProofsOfTheSCRAMExample() throws {
        let salt = try #require(Base64.decode(Array("W22ZaJ0SNY7soEsUEjb6gQ==".utf8)))
        let salted = try guarded(Array("pencil".utf8)).withSecret { password in
            SharedSecret(try KeyDerivation.pbkdf2(password: password, salt: salt, iterations: 4096))
        }
        let exchange =
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        let saltedKey = salted.withSecret { HMACKey($0) }
        let clientKey = saltedKey.authenticate(Array("Client Key".utf8)).bytes
        let stored = guarded(SHA256.hash(clientKey).bytes).withSecret { HMACKey($0) }
        let signature = stored.authenticate(Array(exchange.utf8)).bytes
        #expect(
            Base64.encode(zip(clientKey, signature).map { $0 ^ $1 }) == "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        )
        let server = guarded(saltedKey.authenticate(Array("Server Key".utf8)).bytes).withSecret { HMACKey($0) }
        #expect(
            Base64.encode(server.authenticate(Array(exchange.utf8)).bytes)
                == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        )
    }
}
