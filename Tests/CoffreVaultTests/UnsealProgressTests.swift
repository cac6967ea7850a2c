import CoffreCrypto
import CoffreVault
import Testing

struct UnsealProgressTests {
    /// A share with the given number, its other bytes all `byte`.
    private func share(_ number: UInt8, _ byte: UInt8, count: Int = 32) -> SharedSecret {
        SharedSecret(copying: [UInt8](repeating: byte, count: count) + [number])
    }

    private enum Kind: Equatable { case progress, complete, invalid }

    private func kind(_ step: UnsealProgress.Step) -> Kind {
        switch step {
        case .progress: .progress
        case .complete: .complete
        case .invalid: .invalid
        }
    }

    @Test func aShareGivenTwiceCountsOnce() {
        var progress = UnsealProgress(threshold: 3)
        #expect(kind(progress.submit(share(1, 7))) == .progress)
        #expect(kind(progress.submit(share(1, 7))) == .progress)
        #expect(progress.count == 1)
        #expect(kind(progress.submit(share(2, 8))) == .progress)
        #expect(kind(progress.submit(share(1, 7))) == .progress)
        #expect(progress.count == 2)
        #expect(kind(progress.submit(share(3, 9))) == .complete)
    }

    @Test func twoDifferentSharesWithOneNumberDoNotBothCount() {
        var progress = UnsealProgress(threshold: 2)
        #expect(kind(progress.submit(share(1, 7))) == .progress)
        #expect(kind(progress.submit(share(1, 8))) == .invalid)
        #expect(progress.count == 1)
    }

    @Test func whatCannotBeAShareIsRefusedAndChangesNothing() {
        var progress = UnsealProgress(threshold: 2)
        #expect(kind(progress.submit(share(1, 7))) == .progress)
        for wrong in [share(0, 7), share(2, 7, count: 31), share(2, 7, count: 33), SharedSecret(copying: [UInt8]())] {
            #expect(kind(progress.submit(wrong)) == .invalid)
        }
        #expect(progress.count == 1)
    }
}
