package import CoffreWire

/// The watch over the audit log, as the vault asks it. Every call but ``read(to:)`` answers at once.
package protocol AnomalyDesk: Sendable {
    /// Kinds of findings, for what callers name.
    var kinds: [String] { get }
    /// Those that nobody may want no alerts of for more than a day.
    var criticalKinds: [String] { get }
    /// Returns once the records before `size` have been read, or after two seconds.
    func read(to size: UInt64) async
    /// Incidents in the order of their numbers, the newest last.
    func incidents(_ filter: AnomalyFilter) -> [JSONValue]
    /// With its findings; nil when there is none with that number.
    func incident(_ id: UInt64) -> JSONValue?
    /// Whom it is about; nil when there is none with that number.
    func actor(ofIncident id: UInt64) -> String?
    /// Whether somebody has said what it was.
    func isClosed(_ id: UInt64) -> Bool
    func mutes() -> [JSONValue]
    func hasMute(_ id: UInt64) -> Bool
    /// How far it has read, the day's budget, what each channel has.
    func status() -> JSONValue
    func metrics() -> [AnomalyMetric]
    /// What an identity that behaves unlike itself is to be answered, for the next decision.
    /// - Parameter sid: its pseudonym.
    func answer(sid: String, path: [UInt8]) -> GradedAnswer
}

/// Which incidents are meant.
package struct AnomalyFilter: Sendable {
    /// `open`, `acknowledged`, `closed`; nil for the first two.
    package var state: String?
    package var severity: String?
    package var kind: String?
    package var actor: String?
    /// Only those that nobody was told of.
    package var isHeld = false
    /// With a larger number than this.
    package var after: UInt64 = 0
    package var limit = 100
}

package struct AnomalyMetric: Sendable {
    package let name: String
    package let isCounter: Bool
    package let help: String
    /// Labels as Prometheus writes them, without braces.
    package let values: [(labels: String, value: UInt64)]

    package init(_ name: String, isCounter: Bool, _ help: String, _ values: [(labels: String, value: UInt64)]) {
        self.name = name
        self.isCounter = isCounter
        self.help = help
        self.values = values
    }
}

/// What becomes of a request of somebody with an open incident.
package enum GradedAnswer: Sendable, Equatable {
    case asUsual
    /// It is decided after a pause.
    case slow(milliseconds: Int64)
    /// It is refused until somebody has acknowledged or closed the incident.
    case hold(incident: UInt64)
}
