import Testing

@testable import CoffreAudit

/// The states of the disk, decided from values alone.
@Suite struct DiskStateTests {
    private static let total = 1_000_000_000_000
    private static let gibibyte = 1 << 30

    private static func sample(
        free: Int,
        ahead: Int = 130 << 20,
        missing: Int = 0,
        growth: Int? = nil,
        refused: Bool = false,
        released: Bool = false,
        canAllocate: Bool = true,
        files: (free: Int, total: Int)? = nil
    ) -> DiskState.Sample {
        DiskState.Sample(
            space: DiskSpace(freeBytes: free, totalBytes: total, files: files),
            aheadBytes: ahead,
            missingBytes: missing,
            canAllocate: canAllocate,
            wasRefused: refused,
            isReserveReleased: released,
            growthPerDay: growth
        )
    }

    private static func level(of sample: DiskState.Sample) -> DiskLevel {
        var machine = DiskState(segmentBytes: 64 << 20)
        _ = machine.observe(sample, at: 0)
        return machine.level
    }

    @Test(arguments: [
        (31, DiskLevel.normal), (30, .warning), (8, .warning), (7, .alarm),
    ])
    func daysDecide(days: Int, expected: DiskLevel) {
        #expect(
            Self.level(
                of: Self.sample(free: days * 10 * Self.gibibyte, growth: 10 * Self.gibibyte)
            ) == expected
        )
    }

    @Test func whatIsNotKnownToGrowIsJudgedByItsShare() {
        #expect(Self.level(of: Self.sample(free: Self.total / 20 + 10_000_000)) == .normal)
        #expect(Self.level(of: Self.sample(free: Self.total / 20 - 10_000_000)) == .alarm)
        #expect(Self.level(of: Self.sample(free: Self.total / 2, growth: 0)) == .normal)
    }

    @Test func onlyWhatIsSetAsideIsLeft() {
        #expect(Self.level(of: Self.sample(free: 4 << 20)) == .alarm)
        #expect(Self.level(of: Self.sample(free: (4 << 20) - 1)) == .critical)
        // What is still to be set aside is not there to be used.
        #expect(Self.level(of: Self.sample(free: 134 << 20, ahead: 0, missing: 131 << 20)) == .critical)
    }

    @Test func theEndIsReachedOrARefusalSaysSo() {
        #expect(Self.level(of: Self.sample(free: 0, ahead: 65_535)) == .emergency)
        #expect(Self.level(of: Self.sample(free: 0, ahead: 65_536)) == .critical)
        #expect(Self.level(of: Self.sample(free: Self.total / 2, refused: true)) == .emergency)
    }

    @Test func fewFilesAreAsBadAsFewBytes() {
        let free = Self.total / 2
        #expect(Self.level(of: Self.sample(free: free, files: (free: 500_001, total: 10_000_000))) == .normal)
        #expect(Self.level(of: Self.sample(free: free, files: (free: 499_000, total: 10_000_000))) == .alarm)
        #expect(Self.level(of: Self.sample(free: free, files: (free: 63, total: 10_000_000))) == .critical)
    }

    @Test func aReserveGivenUpIsStillAnEmergencyAfterARestart() {
        #expect(Self.level(of: Self.sample(free: 60 << 20, missing: 64 << 20, released: true)) == .emergency)
        #expect(Self.level(of: Self.sample(free: Self.total / 2, missing: 0, released: false)) == .normal)
    }

    @Test func anEmergencyLastsUntilEverythingIsSetAsideAgain() {
        var machine = DiskState(segmentBytes: 64 << 20)
        _ = machine.observe(Self.sample(free: 0, ahead: 0), at: 0)
        _ = machine.observe(Self.sample(free: 64 << 20, ahead: 0, missing: 194 << 20, released: true), at: 1)
        #expect(machine.level == .emergency)
        _ = machine.observe(Self.sample(free: Self.total / 2, missing: 1, released: true), at: 2)
        #expect(machine.level == .emergency)
        _ = machine.observe(Self.sample(free: (16 << 20) - 1), at: 3)
        #expect(machine.level == .emergency)
        #expect(machine.observe(Self.sample(free: Self.total / 2), at: 4) == .changed(from: .emergency, to: .normal))
    }

    @Test func aFileSystemThatSetsNothingAsideIsNotAnEmergencyForEver() {
        var machine = DiskState(segmentBytes: 64 << 20)
        _ = machine.observe(Self.sample(free: 0, ahead: 0, missing: 194 << 20, canAllocate: false), at: 0)
        #expect(machine.level == .emergency)
        _ = machine.observe(Self.sample(free: Self.total / 2, ahead: 0, missing: 194 << 20, canAllocate: false), at: 1)
        #expect(machine.level == .normal)
    }

    @Test func aStateIsLeftLaterThanItIsEntered() {
        var machine = DiskState(segmentBytes: 64 << 20)
        let growth = 10 * Self.gibibyte
        var changes = 0
        for (second, days) in [30, 31, 30, 32, 31, 30, 32].enumerated() {
            if machine.observe(Self.sample(free: days * growth, growth: growth), at: UInt64(second)) != nil {
                changes += 1
            }
        }
        #expect(changes == 1)
        #expect(machine.level == .warning)
        _ = machine.observe(Self.sample(free: 34 * growth, growth: growth), at: 9)
        #expect(machine.level == .normal)
        var critical = DiskState(segmentBytes: 64 << 20)
        _ = critical.observe(Self.sample(free: 3 << 20), at: 0)
        _ = critical.observe(Self.sample(free: 15 << 20), at: 1)
        #expect(critical.level == .critical)
        _ = critical.observe(Self.sample(free: 16 << 20), at: 2)
        #expect(critical.level == .alarm)
    }

    @Test func whatLastsIsSaidOnceADay() {
        var machine = DiskState(segmentBytes: 64 << 20)
        let day: UInt64 = 86_400
        let low = Self.sample(free: Self.total / 100)
        #expect(machine.observe(low, at: 10) == .changed(from: .normal, to: .alarm))
        #expect(machine.observe(low, at: 10 + day - 1) == nil)
        #expect(machine.observe(low, at: 10 + day) == .reminder(.alarm))
        #expect(machine.observe(low, at: 11 + day) == nil)
        #expect(machine.observe(Self.sample(free: Self.total / 2), at: 12 + day) == .changed(from: .alarm, to: .normal))
        #expect(machine.observe(Self.sample(free: Self.total / 2), at: 20 + 3 * day) == nil)
    }

    // MARK: growth

    @Test func aBurstAfterTheStartIsNoForecast() {
        var meter = GrowthMeter()
        #expect(meter.perDay(at: 5) == nil)
        meter.add(6_000_000, at: 5)
        #expect(meter.perDay(at: 5) == 24_000_000)
    }

    @Test func theFasterOfDayAndWeekCounts() {
        var meter = GrowthMeter()
        for hour in 0..<Int64(168) { meter.add(1000, at: hour) }
        #expect(meter.perDay(at: 167) == 24_000)
        for hour in Int64(168)..<192 { meter.add(10_000, at: hour) }
        #expect(meter.perDay(at: 191) == 240_000)
        for hour in Int64(192)..<220 { meter.add(0, at: hour) }
        #expect((24_000...60_000).contains(meter.perDay(at: 220) ?? 0))
    }

    @Test func whatIsOlderThanAWeekIsForgotten() {
        var meter = GrowthMeter()
        meter.add(1 << 30, at: -100)
        for hour in Int64(0)..<400 { meter.add(100, at: hour) }
        #expect(meter.perDay(at: 399) == 2400)
    }

    // MARK: what may still be recorded

    @Test func everyOperationIsClassified() {
        let ordinary = Set(AuditOperation.allCases.filter { !$0.isEssential }.map(\.rawValue))
        #expect(
            ordinary == [
                "secret.read", "secret.list", "secret.write", "secret.delete", "lease.issue", "lease.renew",
                "lease.lookup", "kv.undelete", "kv.destroy", "kv.metadata", "cubbyhole.read", "cubbyhole.write", "wrap",
                "unwrap", "wrap.replay", "transit.use", "transit.key", "rotation.start", "connector.add",
                "connector.update", "engine.read", "engine.change", "tls.waived", "connection.read",
                "connection.test", "connection.restore", "oauth.consent", "oauth.refresh", "oauth.revoke",
                "oauth.needs_consent", "approval.request", "approval.grant", "approval.deny", "request.invalid",
                "request.unmatched",
            ]
        )
    }
}
