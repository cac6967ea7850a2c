import CoffreCrypto
import Foundation
import Testing

struct SecretBytesTests {
    private struct Refusal: Error {}

    @Test(arguments: [0, 1, 128, 129, 512, 4096, 65_536, 65_537, 1_000_000])
    func secretsOfAnyLengthKeepTheirBytes(count: Int) {
        let bytes = Random.bytes(count)
        #expect(guarded(bytes).bytes == bytes)
        let key = bytes.withUnsafeBytes { SharedSecret(SecretBytes.key(copying: $0)) }
        #expect(key.bytes == bytes)
    }

    @Test func aFailingFillLeavesNothing() {
        #expect(throws: Refusal.self) {
            _ = try SecretBytes(count: 10) { _ throws(Refusal) in throw Refusal() }
        }
        #expect(throws: Refusal.self) {
            _ = try SecretBytes.key(count: 10) { _ throws(Refusal) in throw Refusal() }
        }
    }

    @Test func comparisonSeesContentAndLength() {
        let one = SecretBytes.randomKey(count: 32)
        let same = one.withBytes { SecretBytes(copying: $0) }
        let other = SecretBytes.randomKey(count: 32)
        let longer = SecretBytes.randomKey(count: 33)
        let results = [one.isEqual(to: same), one.isEqual(to: other), one.isEqual(to: longer)]
        #expect(results == [true, false, false])
    }

    @Test func printingShowsALengthOnly() {
        #expect("\(guarded(Array("hunter2".utf8)))" == "<7 secret bytes>")
    }

    @Test func aFreedSlotHoldsZeros() async {
        await #expect(processExitsWith: .success) {
            let secret = Array("a secret of forty bytes, or nearly so, ok".utf8)
            func leak() -> UnsafeRawBufferPointer { SharedSecret(copying: secret).withBytes { $0 } }
            // The arena is never unmapped, and nobody else takes a slot in this process.
            if leak().contains(where: { $0 != 0 }) { exit(1) }
        }
    }

    @Test func moreSecretsThanSlotsAreStillKeptApart() {
        let secrets = (0..<4000).map { number in guarded(withUnsafeBytes(of: number) { Array($0) }) }
        #expect(
            secrets.enumerated().allSatisfy { number, secret in secret.withBytes { $0.load(as: Int.self) == number } }
        )
    }
}
