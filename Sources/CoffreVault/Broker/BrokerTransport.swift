package import CoffreCrypto
package import CoffreWire

/// The broker could not be asked: not there, another user behind its socket, no answer in time, or no valid frame.
package struct BrokerTransportError: Error, Sendable {
    /// For the journal.
    package let message: String

    package init(_ message: String) { self.message = message }
}

/// How the vault reaches the broker. Injected: the vault itself opens no socket.
package protocol BrokerTransport: Sendable {
    /// Sends one frame and waits for the `answer` or `gone` frame with the same job id.
    /// - Parameter body: of a `job` frame; empty for `collect`.
    /// - Returns: the kind and body of that frame. Other frames are dropped.
    func exchange(
        _ kind: BrokerFrame.Kind,
        _ id: BrokerJobID,
        body: SharedSecret
    ) async throws(BrokerTransportError) -> (kind: BrokerFrame.Kind, body: [UInt8])

    /// Tells the broker that the answer of `id` has been used and need not be kept.
    func acknowledge(_ id: BrokerJobID) async
}
