package import CoffreWire

/// One field of a connector's form.
package struct ConnectorField: Sendable {
    /// What a value is. A value of another kind is refused, however sure the pattern is.
    package enum Kind: String, Sendable, CaseIterable {
        case string, integer, boolean
        /// One of ``ConnectorField/values``.
        case choice = "enum"
        /// Blocks of RFC 7468 with one of ``ConnectorField/pemLabels``.
        case pem
        /// A JSON object, as text.
        case json
        /// An address with one of ``ConnectorField/schemes`` and without user or password.
        case url
        case email
        /// A host name or an address, without a port.
        case host
    }

    /// How sure pattern and special check are. What is certain refuses a value, everything else warns.
    package enum Certainty: String, Sendable, CaseIterable {
        case certain, likely, unknown
    }

    /// What is checked beside kind and pattern.
    package enum Check: String, Sendable, CaseIterable {
        /// A whole postal account number of Algeria: see ``PostalAccount``.
        case rip
        /// The key of the postal account in the field `ccp_number`: see ``PostalAccount``.
        case postalKey = "ccp_key"
        /// A path below an allowed folder: not absolute, without parent folders.
        case relativePath = "relative_path"
    }

    /// `[a-z0-9_]`, unique in the form.
    package let name: String
    /// For a form, a few words.
    package let label: Bilingual
    /// A sentence or two.
    package let help: Bilingual
    /// What a value is.
    package let kind: Kind
    /// Whether a connection cannot be without it.
    package let isRequired: Bool
    /// Whether a value must never be shown, logged or kept in a string.
    package let isSecret: Bool
    /// How sure pattern and special check are.
    package let certainty: Certainty
    /// The form of values; nil where none is known.
    package let pattern: FieldPattern?
    /// What else is checked.
    package let check: Check?
    /// What a ``Kind/choice`` chooses from; empty for others.
    package let values: [String]
    /// Bounds of a ``Kind/integer``; nil for others.
    package let range: ClosedRange<Int64>?
    /// What a ``Kind/url`` may begin with, without `://`; empty for others.
    package let schemes: [String]
    /// What blocks of a ``Kind/pem`` may be called; empty for others.
    package let pemLabels: [String]
    /// What a form starts with.
    package let defaultValue: JSONValue?
    /// A value that passes; never of a secret one.
    package let example: JSONValue?
}
