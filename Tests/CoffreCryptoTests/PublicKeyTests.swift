import CoffreCrypto
import Testing

/// Ed25519 against RFC 8032 §7.1, and sealed boxes.
struct PublicKeyTests {
    static let signatures: [(seed: String, publicKey: String, message: String, signature: String)] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                + "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                + "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ]

    @Test(arguments: signatures.indices)
    func signaturesAreThoseOfTheStandard(_ index: Int) throws {
        let vector = Self.signatures[index]
        let signer = try SigningKey(seed: key(hex(vector.seed)))
        #expect(signer.publicKey == hex(vector.publicKey))
        #expect(signer.sign(hex(vector.message)) == hex(vector.signature))
        #expect(SigningKey.isValid(hex(vector.signature), over: hex(vector.message), publicKey: hex(vector.publicKey)))
        #expect(signer.withSeed { Array($0) } == hex(vector.seed))
    }

    @Test func aChangedSignatureMessageOrKeyIsNotValid() {
        let vector = Self.signatures[2]
        let (message, publicKey, signature) = (hex(vector.message), hex(vector.publicKey), hex(vector.signature))
        for index in signature.indices {
            var changed = signature
            changed[index] ^= 1
            #expect(!SigningKey.isValid(changed, over: message, publicKey: publicKey))
        }
        #expect(!SigningKey.isValid(signature, over: message + [0], publicKey: publicKey))
        #expect(!SigningKey.isValid(signature, over: message, publicKey: SigningKey().publicKey))
        #expect(!SigningKey.isValid(Array(signature.dropLast()), over: message, publicKey: publicKey))
        #expect(!SigningKey.isValid(signature, over: message, publicKey: []))
    }

    @Test func aSeedOfAnotherLengthIsRefused() {
        #expect(throws: CryptoError(.invalidLength, "")) { _ = try SigningKey(seed: key([1, 2, 3])) }
    }

    @Test(arguments: [0, 1, 31, 1000])
    func aSealedBoxOpensForItsOwnerAlone(_ count: Int) throws {
        let owner = SealedBox.KeyPair()
        let stranger = SealedBox.KeyPair()
        let message = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let box = try message.withUnsafeBytes { try SealedBox.seal($0, to: owner.publicKey) }
        #expect(box.count == count + SealedBox.overheadBytes)
        let opened = open(box, owner.privateKey)
        #expect(opened.content == message)
        let byStranger = open(box, stranger.privateKey)
        #expect(byStranger.code == .authenticationFailed)
        for index in stride(from: 0, to: box.count, by: 7) {
            var changed = box
            changed[index] ^= 1
            let afterChange = open(changed, owner.privateKey)
            #expect(afterChange.code == .authenticationFailed)
        }
    }

    @Test func shortBoxesAndKeysAreRefused() {
        let pair = SealedBox.KeyPair()
        let short = open([UInt8](repeating: 0, count: 47), pair.privateKey)
        #expect(short.code == .invalidLength)
        #expect(throws: CryptoError(.invalidLength, "")) {
            _ = try [UInt8](repeating: 0, count: 4).withUnsafeBytes { try SealedBox.seal($0, to: [1, 2]) }
        }
    }

    private func open(_ box: [UInt8], _ key: borrowing SecretBytes) -> (content: [UInt8]?, code: CryptoError.Code?) {
        var result: (content: [UInt8]?, code: CryptoError.Code?) = (nil, nil)
        box.withUnsafeBytes { box in
            do throws(CryptoError) {
                result.content = try SealedBox.open(box, privateKey: key).copy()
            } catch {
                result.code = error.code
            }
        }
        return result
    }
}
