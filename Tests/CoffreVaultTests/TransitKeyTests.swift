import CoffreCrypto
import CoffreVault
import CoffreWire
import Testing

/// Transit's keys and texts, without a vault around them.
struct TransitKeyTests {
    private static let now = Timestamp(seconds: 1_700_000_000)

    private func aes() -> LoadedTransitKey { LoadedTransitKey(TransitKey(.aes, keySize: 0, at: Self.now)) }

    private func secret(_ text: String) -> SharedSecret { SharedSecret(copying: Array(text.utf8)) }

    private func text(_ secret: SharedSecret) -> String { secret.withBytes { String(decoding: $0, as: UTF8.self) } }

    /// The message of the refusal; nil when there was none.
    private func refusal(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let error as VaultError {
            return error.code == .badRequest ? error.message : "\(error.code)"
        } catch {
            return "\(error)"
        }
    }

    private func parts(_ ciphertext: String) throws -> [UInt8] {
        try #require(Base64.decode(ciphertext.utf8.dropFirst("vault:v1:".utf8.count)))
    }

    @Test(arguments: [0, 1, 15, 16, 17, 4096, 100_000])
    func whatWasEncryptedComesBack(length: Int) throws {
        let key = aes()
        let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        for associatedData in [nil, secret("place")] {
            let made = try key.encrypt(SharedSecret(copying: bytes), associatedData: associatedData, version: 0)
            #expect(try parts(made.text).count == 12 + length + 16)
            let opened = try key.decrypt(made.text, associatedData: associatedData)
            #expect(opened.plaintext.withBytes { Array($0) } == bytes)
            #expect(opened.version == 1)
        }
    }

    @Test func twoEncryptionsOfOneTextDiffer() throws {
        let key = aes()
        let texts = try (0..<100).map { _ in try key.encrypt(secret("a"), associatedData: nil, version: 0).text }
        #expect(Set(texts).count == 100)
    }

    @Test func aCiphertextThatIsCutAnywhereDoesNotOpen() throws {
        let key = aes()
        let whole = try parts(key.encrypt(secret("payroll"), associatedData: nil, version: 0).text)
        for length in 0..<whole.count {
            let text = "vault:v1:" + Base64.encode(Array(whole[..<length]))
            let expected = length < 12 ? "invalid ciphertext length" : "cipher: message authentication failed"
            #expect(refusal { _ = try key.decrypt(text, associatedData: nil) } == expected, "\(length)")
        }
        let text = try key.encrypt(secret("payroll"), associatedData: nil, version: 0).text
        for length in 0..<text.utf8.count {
            #expect(
                refusal { _ = try key.decrypt(String(text.prefix(length)), associatedData: nil) } != nil,
                "\(length)"
            )
        }
    }

    @Test func aCiphertextThatIsChangedAnywhereDoesNotOpen() throws {
        let key = aes()
        let whole = try parts(key.encrypt(secret("payroll"), associatedData: secret("x"), version: 0).text)
        for index in whole.indices {
            for bit in 0..<8 {
                var changed = whole
                changed[index] ^= 1 << UInt8(bit)
                let text = "vault:v1:" + Base64.encode(changed)
                let message = refusal { _ = try key.decrypt(text, associatedData: secret("x")) }
                #expect(message == "cipher: message authentication failed", "byte \(index), bit \(bit)")
            }
        }
        let longer = "vault:v1:" + Base64.encode(whole + [0])
        #expect(refusal { _ = try key.decrypt(longer, associatedData: secret("x")) } != nil)
    }

    @Test func anotherKeyVersionOrPlaceDoesNotOpen() throws {
        var key = TransitKey(.aes, keySize: 0, at: Self.now)
        key.appendVersion(at: Self.now)
        let loaded = LoadedTransitKey(key)
        let made = try loaded.encrypt(secret("a"), associatedData: secret("place"), version: 1)
        let failed = "cipher: message authentication failed"
        #expect(refusal { _ = try aes().decrypt(made.text, associatedData: secret("place")) } == failed)
        #expect(refusal { _ = try loaded.decrypt(made.text, associatedData: secret("plac")) } == failed)
        #expect(refusal { _ = try loaded.decrypt(made.text, associatedData: nil) } == failed)
        let moved = "vault:v2:" + made.text.dropFirst("vault:v1:".count)
        #expect(refusal { _ = try loaded.decrypt(moved, associatedData: secret("place")) } == failed)
        #expect(text(try loaded.decrypt(made.text, associatedData: secret("place")).plaintext) == "a")
    }

    @Test(arguments: [
        ("", "missing ciphertext to decrypt"), ("x", "invalid ciphertext: no prefix"),
        ("vault:", "invalid ciphertext: no prefix"), ("Vault:v1:AAAA", "invalid ciphertext: no prefix"),
        ("vault:v", "invalid ciphertext: wrong number of fields"),
        ("vault:v1", "invalid ciphertext: wrong number of fields"),
        ("vault:v1:", "invalid ciphertext length"), ("vault:v1:AAAA", "invalid ciphertext length"),
        ("vault:v1:!!!", "invalid ciphertext: could not decode base64"),
        ("vault:v1:AAAAé===", "invalid ciphertext: could not decode base64"),
        ("vault:v1:AAAA:AAAA", "invalid ciphertext: could not decode base64"),
        ("vault:v:AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:vx:AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v01:AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v+1:AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v-1:AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v1 :AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v99999999999999999999999:AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v9223372036854775807:AAAA", "invalid ciphertext: version is too new"),
        ("vault:v99999999999:AAAA", "invalid ciphertext: version is too new"),
        ("vault:v2:AAAA", "invalid ciphertext: version is too new"),
        ("vault:v0:AAAA", "ciphertext or signature version is disallowed by policy (too old)"),
    ])
    func aMalformedCiphertextIsNamed(text: String, message: String) {
        #expect(refusal { _ = try aes().decrypt(text, associatedData: nil) } == message)
    }

    @Test func lineBreaksInACiphertextDoNotMatter() throws {
        let key = aes()
        var made = try key.encrypt(secret("a"), associatedData: nil, version: 0).text
        made.insert("\n", at: made.index(made.startIndex, offsetBy: 20))
        #expect(text(try key.decrypt(made + "\r\n", associatedData: nil).plaintext) == "a")
    }

    @Test func minimumVersionsHold() throws {
        var key = TransitKey(.aes, keySize: 0, at: Self.now)
        let old = try LoadedTransitKey(key).encrypt(secret("a"), associatedData: nil, version: 0)
        for _ in 0..<3 { key.appendVersion(at: Self.now) }
        #expect(key.latest == 4)
        key.minimumEncryption = 3
        #expect(refusal { _ = try LoadedTransitKey(key).encrypt(secret("a"), associatedData: nil, version: 2) } != nil)
        #expect(refusal { _ = try LoadedTransitKey(key).encrypt(secret("a"), associatedData: nil, version: 5) } != nil)
        #expect(refusal { _ = try LoadedTransitKey(key).encrypt(secret("a"), associatedData: nil, version: -1) } != nil)
        #expect(try LoadedTransitKey(key).encrypt(secret("a"), associatedData: nil, version: 3).version == 3)
        #expect(text(try LoadedTransitKey(key).decrypt(old.text, associatedData: nil).plaintext) == "a")
        key.minimumDecryption = 2
        let message = "ciphertext or signature version is disallowed by policy (too old)"
        #expect(refusal { _ = try LoadedTransitKey(key).decrypt(old.text, associatedData: nil) } == message)
        key.minimumEncryption = 0
        let unreadable = refusal { _ = try LoadedTransitKey(key).encrypt(secret("a"), associatedData: nil, version: 1) }
        #expect(unreadable == "no such key version")
        let tag = refusal { _ = try LoadedTransitKey(key).authenticate(secret("a"), .sha256, version: 1) }
        #expect(tag == "no such key version")
        // Not erased yet: the minimum may go down again.
        key.minimumDecryption = 1
        #expect(text(try LoadedTransitKey(key).decrypt(old.text, associatedData: nil).plaintext) == "a")
    }

    @Test func trimmedVersionsAreErasedAndOthersStay() throws {
        var key = TransitKey(.aes, keySize: 0, at: Self.now)
        for _ in 0..<4 { key.appendVersion(at: Self.now) }
        let made = try (1...5).map { number in
            try LoadedTransitKey(key).encrypt(secret("\(number)"), associatedData: nil, version: number).text
        }
        let before = key.encoded.count
        key.minimumEncryption = 4
        key.minimumDecryption = 3
        key.trim(below: 3)
        #expect(before - key.encoded.count >= 2 * 64)
        let stored = try TransitKey(decoding: key.encoded, rowVersion: 9)
        // Even a minimum that says otherwise does not bring an erased version back.
        var tampered = stored
        tampered.minimumDecryption = 1
        for number in 1...2 {
            #expect(
                refusal { _ = try LoadedTransitKey(tampered).decrypt(made[number - 1], associatedData: nil) } != nil
            )
        }
        for number in 3...5 {
            let opened = try LoadedTransitKey(stored).decrypt(made[number - 1], associatedData: nil)
            #expect(text(opened.plaintext) == "\(number)")
        }
        key.trim(below: 3)
        #expect(key.latest == 5 && key.created.count == 3)
        key.appendVersion(at: Self.now)
        #expect(key.latest == 6)
    }

    @Test(arguments: [(TransitKey.Kind.aes, 0), (.ed25519, 0), (.hmac, 32), (.hmac, 512)])
    func aStoredKeyIsTheSameKey(kind: TransitKey.Kind, size: Int) throws {
        var key = TransitKey(kind, keySize: size, at: Self.now)
        key.appendVersion(at: Timestamp(nanoseconds: 1_700_000_001_000_000_005))
        let stored = try TransitKey(decoding: key.encoded, rowVersion: 1)
        #expect(stored.json(name: "k") == key.json(name: "k"))
        let tag = try LoadedTransitKey(key).authenticate(secret("m"), .sha256, version: 0)
        #expect(try LoadedTransitKey(stored).verifyHMAC(tag.text, over: secret("m"), .sha256).isValid)
        if kind == .ed25519 {
            let signature = try LoadedTransitKey(key).sign(secret("m"), version: 1)
            #expect(try LoadedTransitKey(stored).verify(signature.text, over: secret("m")).isValid)
            #expect(try !LoadedTransitKey(stored).verify(signature.text, over: secret("n")).isValid)
        }
    }

    @Test(arguments: [TransitKey.Kind.aes, .ed25519])
    func aStoredKeyThatIsCutOrDamagedIsRefused(kind: TransitKey.Kind) throws {
        let whole = TransitKey(kind, keySize: 0, at: Self.now).encoded.withBytes { Array($0) }
        for length in 0..<whole.count {
            let stored = SharedSecret(copying: Array(whole[..<length]))
            #expect(throws: VaultError.self) { try TransitKey(decoding: stored, rowVersion: 1) }
        }
        for index in 0..<5 {
            var changed = whole
            changed[index] ^= 0x40
            let stored = SharedSecret(copying: changed)
            #expect(throws: VaultError.self) { try TransitKey(decoding: stored, rowVersion: 1) }
        }
    }

    @Test func aDescriptionShowsPublicKeysOnly() throws {
        let key = TransitKey(.ed25519, keySize: 0, at: Self.now)
        let shown = String(decoding: key.json(name: "k").encoded(), as: UTF8.self)
        let material = key.encoded.withBytes { Array($0.suffix(96)) }
        #expect(shown.contains(Base64.encode(Array(material[32..<64]))))
        #expect(!shown.contains(Base64.encode(Array(material[..<32]))))
        #expect(!shown.contains(Base64.encode(Array(material[64...]))))
    }

    @Test(arguments: [
        ("", 0), ("a", 0), ("aG", 0), ("aGV", 0), ("aGVs=", 4), ("aG=", 3), ("aG=a", 2), ("=", 0), ("a===", 1),
        ("aGVsbG8", 4), ("aGVsbG8=x", 8), ("aGVs bG8=", 4), ("aGVsbG8é", 7), ("aGVsbG8==", 8), ("!!", 0),
        ("aGVs\nbG8", 5), ("aGVs-_==", 4),
    ])
    func aFaultInBase64IsWhereOtherVaultsSayItIs(text: String, offset: Int) {
        #expect(TransitBase64.firstFault(Array(text.utf8)) == offset)
    }
}
