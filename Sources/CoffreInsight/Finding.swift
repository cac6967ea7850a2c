/// One result of a detector: somebody or something behaves unlike itself.
package struct Finding: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        case massEnumeration = "mass_enumeration"
        case slowExfiltration = "slow_exfiltration"
        case deniedBurst = "denied_burst"
        case stolenToken = "stolen_token"
        case offHoursAccess = "off_hours_access"
        case dormantAccount = "dormant_account"
        case firstSensitiveAccess = "first_sensitive_access"
        case privilegeEscalation = "privilege_escalation"
        case rateSpike = "rate_spike"
        case silentDeath = "silent_death"
        case auditTampering = "audit_tampering"
        case newServiceFanout = "new_service_fanout"
        case clockIncident = "clock_incident"
        case rootTokenUse = "root_token_use"
        case wrappedTokenReopened = "wrapped_token_reopened"
        case subjectReplayed = "subject_replayed"
        case rightsDiffer = "rights_differ"
        case decoyTouched = "decoy_touched"
        /// The daemon told of its own log or storage.
        case logIncident = "log_incident"

        /// Its place among all, for tables.
        var place: Int {
            switch self {
            case .massEnumeration: 0
            case .slowExfiltration: 1
            case .deniedBurst: 2
            case .stolenToken: 3
            case .offHoursAccess: 4
            case .dormantAccount: 5
            case .firstSensitiveAccess: 6
            case .privilegeEscalation: 7
            case .rateSpike: 8
            case .silentDeath: 9
            case .auditTampering: 10
            case .newServiceFanout: 11
            case .clockIncident: 12
            case .rootTokenUse: 13
            case .wrappedTokenReopened: 14
            case .subjectReplayed: 15
            case .rightsDiffer: 16
            case .decoyTouched: 17
            case .logIncident: 18
            }
        }

        package var severity: Severity {
            switch self {
            case .stolenToken, .privilegeEscalation, .auditTampering, .subjectReplayed, .decoyTouched: .critical
            case .massEnumeration, .slowExfiltration, .deniedBurst, .dormantAccount, .newServiceFanout,
                .wrappedTokenReopened, .logIncident, .rootTokenUse:
                .high
            case .offHoursAccess, .firstSensitiveAccess, .rateSpike, .silentDeath, .clockIncident, .rightsDiffer:
                .medium
            }
        }
    }

    package enum Severity: String, Sendable { case medium, high, critical }

    /// Time of the record that made it certain, nanoseconds since 1970.
    package var time: Int64
    package var kind: Kind
    /// An identity, `uid:N` or `unit:NAME` when only the source is known, `coffred` for the log itself.
    package var actor: String
    /// 0 to 1: how sure.
    package var score: Double
    /// One sentence with the numbers behind it.
    package var french: String
    package var english: String
    /// Numbers of records that show it, at most 32, the newest last.
    package var records: [UInt64]

    package var severity: Severity { kind.severity }
}
