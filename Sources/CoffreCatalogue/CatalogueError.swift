/// Why a text is not a catalogue, and where.
package struct CatalogueError: Error, Sendable, Equatable {
    /// Path of the value in the text, as in `connectors/postgresql/fields/port/pattern`.
    package let place: String
    /// What is wrong there; holds no part of the text.
    package let reason: String

    init(_ place: String, _ reason: String) {
        self.place = place
        self.reason = reason
    }
}
