/// What one value lacks, before it is known whether that refuses it.
struct FieldProblem: Equatable {
    let severity: FieldFinding.Severity
    /// Goes on after the name of the field.
    let message: Bilingual

    private init(_ severity: FieldFinding.Severity, _ english: String, _ french: String) {
        self.severity = severity
        message = Bilingual(english, french)
    }

    /// A value of another kind, whatever is known of its form.
    static func kind(_ english: String, _ french: String) -> FieldProblem { FieldProblem(.refuse, english, french) }

    /// A value that does not have the form of the field.
    static func form(_ certainty: ConnectorField.Certainty, _ english: String, _ french: String) -> FieldProblem {
        switch certainty {
        case .certain: FieldProblem(.refuse, english, french)
        case .likely, .unknown:
            FieldProblem(
                .warn,
                english + "; accepted, because that rule is not certain",
                french + " ; accepté, car cette règle n'est pas certaine"
            )
        }
    }
}
