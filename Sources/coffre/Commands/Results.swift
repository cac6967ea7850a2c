import CoffreClient
import CoffreWire

extension Console {
    /// What a read or a write brought back.
    /// - Parameter field: print this member of `data` alone.
    func show(_ answer: Answer, field: String? = nil) throws {
        warn(answer.warnings)
        if let field {
            let value = answer.data?[field] ?? answer.auth?[field]
            guard let value else { throw noSuchField(field) }
            return raw(value)
        }
        guard let json = answer.json else { return }
        guard format == .table else { return self.json(json) }
        if let lease = answer.lease {
            table(
                [Message("Lease", "Bail"), Message("Duration", "Durée"), Message("Renewable", "Renouvelable")]
                    .map { $0.text(language) },
                [[escapedForTerminal(lease.id), "\(lease.duration.components.seconds) s", yes(lease.isRenewable)]]
            )
            line("")
        }
        if let shown = answer.data ?? answer.auth ?? (json["request_id"] == nil ? json : nil) { members(shown) }
    }

    /// Names, one per line.
    func show(names: [String]) {
        switch format {
        case .json: json(.strings(names))
        case .table: for name in names { line(escapedForTerminal(name)) }
        }
    }

    func yes(_ value: Bool) -> String {
        (value ? Message("yes", "oui") : Message("no", "non")).text(language)
    }

    func noSuchField(_ field: String) -> Failure {
        let field = escapedForTerminal(field)
        return Failure("there is no field \(field)", "pas de champ \(field)", .notFound)
    }
}
