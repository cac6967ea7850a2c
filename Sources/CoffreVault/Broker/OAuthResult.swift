internal import CoffreCrypto
internal import CoffreWire

/// A provider's answer with its secrets. It is kept by the broker until ``Vault/finishOAuth(_:with:)``.
struct OAuthResult: Sendable {
    /// The job that it is the answer to.
    let id: BrokerJobID
    /// What is no secret.
    let reply: OAuthReply
    /// What is one.
    let secrets: [OAuthReply.Secret: SharedSecret]

    init(_ id: BrokerJobID, _ reply: OAuthReply, _ secrets: [OAuthReply.Secret: SharedSecret] = [:]) {
        self.id = id
        self.reply = reply
        self.secrets = secrets
    }

    /// Reads what was in a sealed box.
    /// - Throws: ``BrokerWireError``.
    init(_ id: BrokerJobID, decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        // A job that was refused before it was looked at has the answer of any job.
        if !OAuthReply.isReply(bytes), case .failed(let failure) = try BrokerAnswer(decoding: bytes) {
            self.init(id, OAuthReply(.failed(OAuthProblem(failure))))
            return
        }
        let view = try OAuthReplyView(decoding: bytes)
        self.init(id, view.reply, view.secrets.mapValues { SharedSecret(copying: $0) })
    }
}
