package import CoffreWire

extension Connector {
    /// Most members that are looked at.
    private static let maximumMembers = 64

    /// Checks what was filled into the form.
    ///
    /// What the kind of a field rules out is refused, and so is what does not have a certain form; where the form is not
    /// certain, the value is accepted with a warning. Empty strings and `null` count as not filled in. Values are read where
    /// they lie; what is copied to be decoded is wiped.
    /// - Parameters:
    ///   - form: an object, field by field. Integers and booleans may also be strings.
    ///   - isWhole: whether fields that are not there are missing; false for a change of some fields.
    /// - Returns: nothing when all is well; members that are no fields first, then by the order of the form.
    package func check(_ form: JSONView, isWhole: Bool = true) -> [FieldFinding] {
        guard form.isObject else { return [Self.refusal("", "a form is an object", "un formulaire est un objet")] }
        let members = form.members
        guard members.count <= Self.maximumMembers else {
            return [Self.refusal("", "the form has too many fields", "le formulaire a trop de champs")]
        }
        var values: [String: JSONView] = [:]
        var findings: [FieldFinding] = []
        for (name, value) in members {
            guard field(name) != nil else {
                findings.append(unknownField(name))
                continue
            }
            guard values.updateValue(value, forKey: name) == nil else {
                findings.append(Self.refusal(name, "stands twice", "figure deux fois"))
                continue
            }
        }
        values = values.filter { !$0.value.isNull && $0.value.stringCount != 0 }
        for field in fields {
            guard let value = values[field.name] else {
                if field.isRequired, isWhole {
                    findings.append(Self.refusal(field.name, "is missing", "manque"))
                }
                continue
            }
            let problem = field.problem(with: value) ?? postalKeyProblem(field, value, values)
            if let problem { findings.append(Self.finding(field.name, problem.severity, problem.message)) }
        }
        for group in oneOf where isWhole && !group.contains(where: { values[$0] != nil }) {
            let others = group.dropFirst().joined(separator: ", ")
            findings.append(Self.refusal(group[0], "or \(others) is missing", "ou \(others) manque"))
        }
        return findings
    }

    /// The key of a postal account stands in a field of its own.
    private func postalKeyProblem(
        _ field: ConnectorField,
        _ value: JSONView,
        _ values: [String: JSONView]
    ) -> FieldProblem? {
        guard field.check == .postalKey, let account = values["ccp_number"], let size = account.stringCount,
            let count = value.stringCount, size <= 10, count == 2
        else { return nil }
        let fits = ConnectorField.withText(account, size) { account in
            ConnectorField.withText(value, count) { PostalAccount.key($0, fits: account) }
        }
        guard fits == false else { return nil }
        return .form(field.certainty, "does not fit ccp_number", "ne correspond pas à ccp_number")
    }

    private func unknownField(_ name: String) -> FieldFinding {
        // Whatever stands there may be a value in the wrong place: only what looks like a name is repeated.
        let isName =
            (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || [0x5f, 0x2d, 0x2e].contains(byte)
            }
        guard isName else {
            return Self.refusal("", "a member is no field of \(id)", "un membre n'est pas un champ de \(id)")
        }
        guard let near = NearestName.of(name, among: fields.map(\.name)) else {
            return Self.refusal(name, "is no field of \(id)", "n'est pas un champ de \(id)")
        }
        return Self.refusal(
            name,
            "is no field of \(id); did you mean \(near)?",
            "n'est pas un champ de \(id) ; vouliez-vous dire \(near) ?"
        )
    }

    private static func refusal(_ field: String, _ english: String, _ french: String) -> FieldFinding {
        finding(field, .refuse, Bilingual(english, french))
    }

    private static func finding(
        _ field: String,
        _ severity: FieldFinding.Severity,
        _ message: Bilingual
    ) -> FieldFinding {
        let start = field.isEmpty ? "" : field + " "
        return FieldFinding(
            field: field,
            severity: severity,
            message: Bilingual(start + message.english, start + message.french)
        )
    }
}
