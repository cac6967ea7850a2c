import Testing

@testable import CoffreInsight

/// Each kind of finding in an office whose days are alike otherwise.
struct DetectorTests {
    private typealias Kind = Finding.Kind

    private func kinds(_ findings: [Finding]) -> Set<Kind> { Set(findings.map(\.kind)) }

    @Test func daysThatAreAlikeAreNothing() {
        #expect(Office(days: 28).findings().isEmpty)
    }

    @Test func aTokenInOtherHandsIsTold() throws {
        let time = Office.at(day: 21, hour: 11, minute: 30)
        let thief = Office.event(
            time,
            "amel",
            .read,
            "kv",
            "finance/1",
            teams: ["finance"],
            uid: 33,
            unit: "www.service",
            token: "t-amel-21",
            pid: 77
        )
        let office = Office(days: 22, extra: [thief])
        let findings = office.findings()
        let finding = try #require(findings.first)
        #expect(kinds(findings) == [.stolenToken] && finding.time == time && finding.actor == "amel")
        #expect(finding.english.contains("uid 33") && finding.french.contains("uid 33"))
        #expect(finding.records.count == 1 && finding.severity == .critical)
    }

    @Test func manyUnfamiliarSecretsAreTold() throws {
        let extra = (10..<26).map {
            Office.event(
                Office.at(day: 21, hour: 10, minute: $0),
                "badis",
                .read,
                "kv",
                "finance/\($0)",
                teams: ["finance"],
                uid: 1001,
                token: "t-badis-21",
                pid: 5211
            )
        }
        let findings = Office(days: 23, extra: extra).findings()
        let finding = try #require(findings.first { $0.kind == .massEnumeration })
        #expect(finding.actor == "badis" && finding.time < Office.at(day: 21, hour: 10, minute: 20))
        #expect(kinds(findings) == [.massEnumeration])
    }

    @Test func aSensitiveSecretOfAnotherTeamIsTold() throws {
        let time = Office.at(day: 21, hour: 10)
        let read = Office.event(
            time,
            "dalia",
            .read,
            "kv",
            "finance/29",
            teams: ["sales"],
            uid: 1003,
            token: "t-dalia-21",
            pid: 5213
        )
        let findings = Office(days: 22, extra: [read]).findings()
        #expect(kinds(findings) == [.firstSensitiveAccess])
        #expect(findings.first?.english.contains("kv/finance/29") == true)
    }

    @Test func aGrantThatExplainsItIsBelieved() {
        let grant = Office.event(
            Office.at(day: 20, hour: 9),
            "root",
            .policyWrite,
            "sys",
            "sys/policy/amel",
            teams: [],
            uid: 0
        )
        let read = Office.event(
            Office.at(day: 20, hour: 11),
            "amel",
            .read,
            "kv",
            "finance/29",
            teams: ["finance"],
            uid: 1000,
            token: "t-amel-20",
            pid: 5200
        )
        #expect(Office(days: 22, extra: [grant, read]).findings().isEmpty)
    }

    @Test func aGrantToAnOutsiderThatIsUsedIsTold() {
        let grant = Office.event(
            Office.at(day: 20, hour: 9),
            "amel",
            .policyWrite,
            "sys",
            "sys/policy/dalia",
            teams: ["finance"],
            uid: 1000,
            token: "t-amel-20",
            pid: 5200
        )
        let read = Office.event(
            Office.at(day: 20, hour: 9, minute: 4),
            "dalia",
            .read,
            "kv",
            "finance/29",
            teams: ["sales"],
            uid: 1003,
            token: "t-dalia-20",
            pid: 5203
        )
        #expect(kinds(Office(days: 22, extra: [grant, read]).findings()) == [.privilegeEscalation])
        let own = Office.event(
            Office.at(day: 20, hour: 9),
            "dalia",
            .policyWrite,
            "sys",
            "sys/policy/dalia",
            teams: ["sales"],
            uid: 1003,
            token: "t-dalia-20",
            pid: 5203
        )
        #expect(kinds(Office(days: 22, extra: [own]).findings()) == [.privilegeEscalation])
    }

    @Test func refusedLogInsOverManyNamesAreTold() throws {
        let names = (0..<12).map { "user-\($0)" }
        let fast = names.enumerated().map {
            Office.event(
                Office.at(day: 21, hour: 12, minute: $0.offset),
                $0.element,
                .login,
                "auth",
                "auth/portal",
                uid: 950,
                unit: "portal.service",
                outcome: .denied
            )
        }
        #expect(Office(days: 22, extra: fast).findings().map(\.actor) == ["uid:950"])
        let slow = names.enumerated().map {
            Office.event(
                Office.at(day: 21, hour: 9, minute: 35 * $0.offset),
                $0.element,
                .login,
                "auth",
                "auth/portal",
                uid: 950,
                unit: "portal.service",
                outcome: .denied
            )
        }
        #expect(kinds(Office(days: 22, extra: slow).findings()) == [.deniedBurst])
        let forgotten = (0..<4).map {
            Office.event(Office.at(day: 21, hour: 9, minute: $0), "amel", .login, "auth", "auth/peer", outcome: .denied)
        }
        #expect(Office(days: 22, extra: forgotten).findings().isEmpty)
    }

    @Test func whoWasAwayForMonthsIsTold() {
        let act = Office.event(Office.at(day: 21, hour: 10), "old", .login, "auth", "auth/peer", uid: 1009)
        #expect(kinds(Office(days: 22, extra: [act]).findings()) == [.dormantAccount])
    }

    @Test func nightsAndDaysOffAreTold() {
        let night = Office.event(
            Office.at(day: 22, hour: 3),
            "chafik",
            .read,
            "salesforce",
            "sales/1",
            teams: ["sales"],
            uid: 1002,
            token: "n",
            pid: 9
        )
        #expect(kinds(Office(days: 24, extra: [night]).findings()) == [.offHoursAccess])
        let friday = Office.event(
            Office.at(day: 25, hour: 10),
            "chafik",
            .read,
            "salesforce",
            "sales/1",
            teams: ["sales"],
            uid: 1002,
            token: "n",
            pid: 9
        )
        #expect(kinds(Office(days: 28, extra: [friday]).findings()) == [.offHoursAccess])
        let late = Office.event(
            Office.at(day: 22, hour: 18),
            "chafik",
            .read,
            "salesforce",
            "sales/1",
            teams: ["sales"],
            uid: 1002,
            token: "n",
            pid: 9
        )
        #expect(Office(days: 24, extra: [late]).findings().isEmpty)
    }

    @Test func anUnusualPaceIsTold() {
        let extra = (0..<150).map {
            Office.event(
                Office.at(day: 21, hour: 11, minute: $0 / 10, second: $0 % 10),
                "dalia",
                .read,
                "salesforce",
                "sales/\($0 % 4)",
                teams: ["sales"],
                uid: 1003,
                token: "t-dalia-21",
                pid: 5213
            )
        }
        let findings = Office(days: 23, extra: extra).findings()
        #expect(kinds(findings) == [.rateSpike] && findings.count == 1)
    }

    @Test func silencesAreTold() throws {
        let stop = Office.at(day: 21, hour: 0)
        let findings = Office(days: 23, isSilent: { $0 >= stop }).findings()
        #expect(kinds(findings) == [.silentDeath])
        #expect(Set(findings.map(\.actor)) == ["s-probe", "s-rotation"])
        let probe = try #require(findings.first { $0.actor == "s-probe" })
        #expect(probe.time - stop < Span.hour)
    }

    @Test func anIdentityThatWasRevokedMayBeSilent() {
        let stop = Office.at(day: 21, hour: 0)
        let ends = ["s-probe", "s-rotation"].map {
            Office.event(stop - Span.hour, "root", .revoke, "sys", "sys/identity/\($0)", uid: 0)
        }
        #expect(Office(days: 23, extra: ends, isSilent: { $0 >= stop }).findings().isEmpty)
    }

    @Test func aServiceOfTodayThatTouchesEverythingIsTold() {
        let wide = (0..<5).map {
            Office.event(
                Office.at(day: 21, hour: 3, minute: $0),
                "s-new",
                .read,
                ["kv", "postgresql", "salesforce"][$0 % 3],
                "x/\($0)",
                kind: .service,
                uid: 990,
                unit: "new.service"
            )
        }
        #expect(kinds(Office(days: 22, extra: wide).findings()) == [.newServiceFanout])
        let narrow = (0..<40).map {
            Office.event(
                Office.at(day: 21, hour: 3, minute: $0),
                "s-new",
                .read,
                "kv",
                "x/\($0 % 2)",
                kind: .service,
                uid: 990,
                unit: "new.service"
            )
        }
        #expect(Office(days: 22, extra: narrow).findings().isEmpty)
    }

    @Test func whoTouchesTheLogIsTold() {
        let write = Office.event(
            Office.at(day: 5, hour: 9),
            "amel",
            .auditWrite,
            "sys",
            "sys/audit/config",
            outcome: .denied
        )
        #expect(kinds(Office(days: 6, extra: [write]).findings()).contains(.auditTampering))
        var office = Office(days: 6)
        office.events.remove(at: 700)
        let findings = office.findings()
        #expect(findings.map(\.kind) == [.auditTampering] && findings[0].actor == "coffred")
    }

    @Test func aClockThatStepsBackIsTold() {
        var office = Office(days: 4)
        for index in 600..<640 { office.events[index].time -= 2 * Span.hour }
        #expect(kinds(office.findings()) == [.clockIncident])
    }
}
