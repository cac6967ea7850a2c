package import CoffreWire

/// What is wrong, or doubtful, about a value of a form. Holds no part of the value.
package struct FieldFinding: Sendable, Equatable {
    /// What follows from it.
    package enum Severity: String, Sendable, CaseIterable {
        /// The value is not accepted.
        case refuse
        /// The value is accepted; the form that it lacks is not certain.
        case warn
    }

    /// Name of the field, empty for the form as a whole.
    package let field: String
    /// What follows from it.
    package let severity: Severity
    /// A sentence that is safe to show and to log; it begins with the name of the field.
    package let message: Bilingual

    /// As it is sent.
    package var json: JSONValue {
        .object(["field": .string(field), "severity": .string(severity.rawValue), "message": message.json])
    }
}
