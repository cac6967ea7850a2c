import CoffreInsight
import CoffreWire
import Glibc

/// What is known beforehand, from a file: `timezone` (a name of the time zone database) or `utc_offset` (seconds), `weekend`
/// (names of days), `actors` (`id`, `kind`, `teams`, `created`, `last_seen`), `secrets` (`connector`, `path`, `sensitive`),
/// `teams` (names with lists of `connector` and `path`). Other members are left out.
enum AnomalyContext {
    private static let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

    /// - Throws: ``Failure``.
    static func read(_ path: String) throws -> InsightContext {
        let bytes = try Input.file(path, for: "--context")
        guard let value = try? JSONValue(parsing: bytes), value.members != nil else {
            throw Failure("\(path) is no JSON object", "\(path) n’est pas un objet JSON")
        }
        var context = InsightContext()
        if let offset = value["utc_offset"]?.integer {
            guard abs(offset) <= 50_400 else { throw refusal(path, "utc_offset") }
            context.utcOffset = offset
        } else if let zone = value["timezone"] {
            guard let name = zone.string, let offset = offset(of: name) else { throw refusal(path, "timezone") }
            context.utcOffset = offset
        }
        if let weekend = value["weekend"] {
            let numbers = weekend.array?.map { day in day.string.flatMap { days.firstIndex(of: $0) } }
            guard let numbers, numbers.allSatisfy({ $0 != nil }) else { throw refusal(path, "weekend") }
            context.weekend = Set(numbers.compactMap(\.self))
        }
        for actor in value["actors"]?.array ?? [] {
            guard let id = actor["id"]?.string else { throw refusal(path, "actors") }
            context.identities.append(
                InsightContext.Identity(
                    id: id,
                    kind: actor["kind"]?.string == "service" ? .service : .user,
                    teams: actor["teams"]?.array?.compactMap(\.string) ?? [],
                    created: try time(actor["created"], path),
                    lastSeen: try time(actor["last_seen"], path)
                )
            )
        }
        for secret in value["secrets"]?.array ?? [] where secret["sensitive"]?.bool == true {
            context.sensitive.append(try self.secret(secret, path, "secrets"))
        }
        for team in value["teams"]?.members ?? [] {
            context.teams[team.key] = try (team.value.array ?? []).map { try secret($0, path, "teams") }
        }
        return context
    }

    private static func secret(_ value: JSONValue, _ path: String, _ member: String) throws -> InsightContext.Secret {
        guard let connector = value["connector"]?.string, let name = value["path"]?.string else {
            throw refusal(path, member)
        }
        return InsightContext.Secret(connector: connector, path: name)
    }

    /// A day (`2025-03-22`) or a time (RFC 3339, in UTC).
    private static func time(_ value: JSONValue?, _ path: String) throws -> Int64? {
        guard let text = value?.string, !text.isEmpty else { return nil }
        let bytes = Array((text.utf8.count == 10 ? text + "T00:00:00Z" : text).utf8)
        guard let time = bytes.withUnsafeBytes({ InsightTime.parse($0) }) else { throw refusal(path, "actors") }
        return time
    }

    /// Seconds east of Greenwich, as they are today.
    private static func offset(of zone: String) -> Int64? {
        guard !zone.isEmpty, zone.utf8.count < 64, !zone.hasPrefix("/"), !zone.contains(".."),
            zone.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x3a }),
            access("/usr/share/zoneinfo/" + zone, R_OK) == 0
        else { return zone == "UTC" ? 0 : nil }
        setenv("TZ", zone, 1)
        tzset()
        var now = Glibc.time(nil)
        var parts = tm()
        guard localtime_r(&now, &parts) != nil else { return nil }
        return Int64(parts.tm_gmtoff)
    }

    private static func refusal(_ path: String, _ member: String) -> Failure {
        Failure(
            "\(path): the member \(member) is not as it should be: coffre anomaly replay --help"
                + (member == "timezone" ? " (utc_offset takes seconds, where the time zone database is missing)" : ""),
            "\(path) : le membre \(member) n’est pas valable : coffre anomaly replay --help"
                + (member == "timezone" ? " (utc_offset prend des secondes si la base des fuseaux manque)" : "")
        )
    }
}
