import CoffreCrypto
import CoffreWire
import Testing

@testable import CoffreVault

final class RefusedPasswordsTests {
    private static func digest(_ number: Int) -> Digest {
        HMACKey(SecretBytes.randomKey(count: 32)).authenticate { update in
            Array("\(number)".utf8).withUnsafeBytes { update($0) }
        }
    }

    private static func keys(guesser: Digest? = nil) -> RefusedPasswords.Keys {
        RefusedPasswords.Keys(anywhere: digest(0), here: digest(1), guesser: guesser)
    }

    private static func at(_ seconds: Int64) -> Timestamp { Timestamp(seconds: seconds) }

    private let keys = RefusedPasswordsTests.keys()
    private var table = RefusedPasswords()

    private func attempt(
        _ keys: RefusedPasswords.Keys? = nil,
        insists: Bool = false,
        at seconds: Int64
    ) -> RefusedPasswords.Attempt? {
        table.begin(keys ?? self.keys, of: "sarah", insists: insists, at: Self.at(seconds))
    }

    /// - Returns: whether it was sent.
    @discardableResult
    private func tries(
        _ finding: RefusedPasswords.Finding,
        for keys: RefusedPasswords.Keys? = nil,
        insists: Bool = false,
        at seconds: Int64
    ) -> Bool {
        guard let attempt = attempt(keys, insists: insists, at: seconds) else { return false }
        table.end(attempt, finding, at: Self.at(seconds))
        return true
    }

    @Test func pausesGrowTo600Seconds() {
        var now: Int64 = 1000
        for pause: Int64 in [10, 20, 40, 80, 160, 320, 600, 600] {
            #expect(tries(.refused(anywhere: true), at: now))
            #expect(!tries(.accepted, at: now + pause - 1), "\(pause)")
            now += pause
        }
        #expect(tries(.refused(anywhere: true), insists: true, at: now + 1))
        #expect(tries(.accepted, insists: true, at: now + 2))
        #expect(tries(.refused(anywhere: true), at: now + 3) && table.pause(keys, at: Self.at(now + 12)) != nil)
        #expect(table.pause(keys, at: Self.at(now + 13)) == nil)
    }

    /// Only who was let in, or was told what only those are told, ends a pause.
    @Test(arguments: [
        (BrokerFailure(.timeout), false), (BrokerFailure(.unavailable, sqlState: "53300"), false),
        (BrokerFailure(.unavailable), false), (BrokerFailure(.refused), false), (BrokerFailure(.tls), false),
        (BrokerFailure(.reply), false), (BrokerFailure(.statement, sqlState: "2BP01"), true),
        (BrokerFailure(.rights, sqlState: "42501"), true),
        (BrokerFailure(.statement, sqlState: BrokerFailure.neverConnected), false),
    ])
    func aFailureThatJudgesNothingEndsNoPause(failure: BrokerFailure, judges: Bool) {
        tries(.refused(anywhere: true), at: 0)
        let finding = RefusedPasswords.Finding(failure)
        #expect(tries(finding, insists: true, at: 5))
        #expect((table.pause(keys, at: Self.at(9)) == nil) == judges)
        #expect(table.pause(keys, at: Self.at(10)) == nil)
        // What nobody judged counts for nothing: the next refusal is the second, not the third.
        tries(.refused(anywhere: true), at: 10)
        #expect(table.pause(keys, at: Self.at(judges ? 19 : 29)) != nil)
        #expect(table.pause(keys, at: Self.at(judges ? 20 : 30)) == nil)
    }

    @Test func whatAnotherFoundMeanwhileStays() throws {
        let first = try #require(attempt(at: 0))
        tries(.refused(anywhere: true), at: 1)
        table.end(first, .unknown, at: Self.at(2))
        #expect(table.pause(keys, at: Self.at(10)) != nil)
        let many = try (0..<24).map { _ in try #require(attempt(insists: true, at: 3)) }
        for one in many { table.end(one, .refused(anywhere: true), at: Self.at(4)) }
        #expect(table.pause(keys, at: Self.at(23)) != nil && table.pause(keys, at: Self.at(24)) == nil, "one counts")
    }

    @Test func oneTriesAndTheOthersWait() throws {
        tries(.refused(anywhere: true), at: 0)
        let first = try #require(attempt(at: 10))
        #expect(attempt(at: 11) == nil)
        table.end(first, .accepted, at: Self.at(12))
        #expect(attempt(at: 12) != nil)
    }

    @Test func aPasswordThatOneDatabaseRefusesGoesToAnother() {
        let other = RefusedPasswords.Keys(anywhere: keys.anywhere, here: Self.digest(2))
        #expect(
            RefusedPasswords.Finding(BrokerFailure(.authentication, sqlState: "28000")) == .refused(anywhere: false)
        )
        #expect(RefusedPasswords.Finding(BrokerFailure(.authentication, sqlState: "28P01")) == .refused(anywhere: true))
        tries(.refused(anywhere: false), at: 0)
        #expect(!tries(.accepted, at: 1))
        #expect(tries(.refused(anywhere: true), for: other, at: 1))
        #expect(!tries(.accepted, for: other, at: 2))
        table.accepted(other)
        #expect(tries(.accepted, for: other, at: 3))
    }

    @Test func whoGuessesWaitsFromTheFifthOn() {
        let guesser = Self.digest(3)
        for number: Int64 in 0..<5 {
            #expect(tries(.refused(anywhere: true), for: Self.keys(guesser: guesser), insists: true, at: number))
        }
        #expect(!tries(.accepted, for: Self.keys(guesser: guesser), insists: true, at: 10))
        #expect(tries(.accepted, for: Self.keys(guesser: Self.digest(4)), insists: true, at: 10), "another's guesses")
        #expect(tries(.unknown, for: Self.keys(guesser: guesser), insists: true, at: 14))
        #expect(tries(.refused(anywhere: true), for: Self.keys(guesser: guesser), insists: true, at: 15))
        #expect(!tries(.accepted, for: Self.keys(guesser: guesser), insists: true, at: 34))
        #expect(tries(.accepted, for: Self.keys(guesser: guesser), insists: true, at: 35))
        for number: Int64 in 0..<4 {
            #expect(tries(.refused(anywhere: true), for: Self.keys(guesser: guesser), insists: true, at: 36 + number))
        }
    }

    @Test func guessesThatGoTogetherAreCountedWhenTheyGo() {
        let guesser = Self.digest(3)
        let under = (0..<100).compactMap { _ in attempt(Self.keys(guesser: guesser), insists: true, at: 0) }
        #expect(under.count == 5)
    }

    @Test func whoFillsTheTableForgetsOnesOwn() {
        table = RefusedPasswords(limit: 100, limitOfOwner: 20)
        tries(.refused(anywhere: true), at: 0)
        for number in 0..<500 {
            let keys = Self.keys()
            guard let attempt = table.begin(keys, of: "mallory\(number % 2)", insists: true, at: Self.at(1)) else {
                continue
            }
            table.end(attempt, .refused(anywhere: true), at: Self.at(1))
        }
        #expect(table.count == 41)
        #expect(table.pause(keys, at: Self.at(9)) != nil)
    }

    @Test func aPasswordGoesAloneUntilItIsProven() async { await Alone().run() }

    private actor Alone {
        private let first = FirstAttempts()
        private var passed = 0

        private func enter(_ key: Digest) async {
            #expect(await !first.begin(key))
            passed += 1
        }

        func run() async {
            let key = RefusedPasswordsTests.digest(0)
            #expect(await first.begin(key))
            let others = (0..<24).map { _ in Task { await self.enter(key) } }
            for _ in 0..<100 { await Task.yield() }
            #expect(passed == 0)
            first.found(key, isProven: true)
            first.end(key)
            for task in others { await task.value }
            #expect(await !first.begin(key))
            first.found(key, isProven: false)
            #expect(await first.begin(key), "it went bad")
            first.end(key)
        }
    }
}
