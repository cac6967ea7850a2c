/// Why a connection string was refused. The message says what to write instead and repeats nothing of the input.
public struct PostgresTargetError: Error, Sendable, Equatable {
    /// Safe to log and to show.
    public let message: String

    init(_ message: String) { self.message = message }
}
