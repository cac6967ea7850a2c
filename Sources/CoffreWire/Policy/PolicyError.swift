/// Why a policy's text is refused, and where.
package struct PolicyError: Error, Sendable, Equatable {
    /// Says what is allowed; starts with the line where it is known.
    package let message: String

    package init(_ message: String, line: Int? = nil) {
        self.message = line.map { "line \($0): \(message)" } ?? message
    }
}
