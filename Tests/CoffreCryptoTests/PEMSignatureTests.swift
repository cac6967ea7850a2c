import CoffreCrypto
import CoffreTestSupport
import Foundation
import Testing

@Suite struct PEMSignatureTests {
    private static func key(_ folder: TestFolder, _ arguments: String) throws -> [UInt8] {
        let script = "cd \(folder.path) && openssl genpkey \(arguments) -out key.pem 2>/dev/null"
        #expect(try RunningProcess.run("/bin/sh", ["-c", script]).status == 0)
        return Array(try #require(FileManager.default.contents(atPath: folder.file("key.pem"))))
    }

    private static func sign(
        _ message: [UInt8],
        _ key: [UInt8],
        _ algorithm: PEMSignature.Algorithm
    ) throws -> [UInt8] {
        try message.withUnsafeBytes { message in
            try key.withUnsafeBytes { try PEMSignature.sign(message, with: $0, algorithm) }
        }
    }

    private static func openssl(_ folder: TestFolder, _ signature: [UInt8], _ message: [UInt8]) throws -> Bool {
        try Data(signature).write(to: URL(fileURLWithPath: folder.file("sig")))
        try Data(message).write(to: URL(fileURLWithPath: folder.file("message")))
        let script = """
            cd \(folder.path) && openssl pkey -in key.pem -pubout -out pub.pem \
            && openssl dgst -sha256 -verify pub.pem -signature sig message
            """
        return try RunningProcess.run("/bin/sh", ["-c", script]).status == 0
    }

    /// An INTEGER of DER (X.690 §8.3).
    private static func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        let short = Array(bytes.drop { $0 == 0 })
        let positive = (short.first ?? 0x80) & 0x80 != 0 ? [0] + short : short
        return [2, UInt8(positive.count)] + positive
    }

    @Test(arguments: ["genpkey-form", "-traditional"])
    func opensslVerifiesAnRSASignature(form: String) throws {
        let folder = try TestFolder("sig")
        var key = try Self.key(folder, "-algorithm RSA -pkeyopt rsa_keygen_bits:2048")
        if form == "-traditional" {
            let script = "cd \(folder.path) && openssl rsa -in key.pem -traditional -out old.pem 2>/dev/null"
            #expect(try RunningProcess.run("/bin/sh", ["-c", script]).status == 0)
            key = Array(try #require(FileManager.default.contents(atPath: folder.file("old.pem"))))
        }
        let message = Array("a.b".utf8)
        let signature = try Self.sign(message, key, .rs256)
        #expect(signature.count == 256)
        #expect(try Self.openssl(folder, signature, message))
        #expect(try !Self.openssl(folder, signature, message + [1]))
    }

    @Test func opensslVerifiesEveryECDSASignature() throws {
        let folder = try TestFolder("sig")
        let key = try Self.key(folder, "-algorithm EC -pkeyopt ec_paramgen_curve:P-256")
        // Enough for halves that begin with a zero, or with a high bit.
        for number in UInt8(0)..<40 {
            let message: [UInt8] = [number]
            let signature = try Self.sign(message, key, .es256)
            #expect(signature.count == 64)
            let body = Self.integer(signature[..<32]) + Self.integer(signature[32...])
            #expect(try Self.openssl(folder, [0x30, UInt8(body.count)] + body, message))
        }
    }

    @Test(arguments: [
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", PEMSignature.Algorithm.rs256),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-256", .rs256),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", .es256),
        ("-algorithm ED25519", .es256), ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", .es256),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048 -aes256 -pass pass:secret", .rs256),
    ])
    func aKeyOfAnotherKindOrUnderAPasswordIsRefused(arguments: String, algorithm: PEMSignature.Algorithm) throws {
        let key = try Self.key(try TestFolder("sig"), arguments)
        let error = #expect(throws: CryptoError.self) { try Self.sign([1], key, algorithm) }
        #expect(error?.code == .invalidEncoding)
    }

    @Test(arguments: ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "\0\0", "x"])
    func whatIsNoKeyIsRefused(text: String) {
        for algorithm in PEMSignature.Algorithm.allCases {
            let error = #expect(throws: CryptoError.self) { try Self.sign([1], Array(text.utf8), algorithm) }
            #expect(error?.code == .invalidEncoding)
        }
    }

    /// RFC 2202 §3, cases 1, 2 and 6.
    @Test(arguments: [
        ([UInt8](repeating: 0x0b, count: 20), "Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (Array("Jefe".utf8), "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            [UInt8](repeating: 0xaa, count: 80), "Test Using Larger Than Block-Size Key - Hash Key First",
            "aa4ae5e15272d00e95705637ce8a3b55ed402112"
        ),
    ])
    func theTagsOfTheRFCComeOut(key: [UInt8], message: String, tag: String) throws {
        let made = try Array(message.utf8).withUnsafeBytes { message in
            try key.withUnsafeBytes { try HMACSHA1.authenticate(message, key: $0) }
        }
        #expect(Hex.encode(made) == tag)
    }
}
