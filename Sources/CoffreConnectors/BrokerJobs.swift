package import CoffreCrypto
package import CoffreWire

/// What a job came to.
package enum JobResult: Sendable {
    /// Holds no secret.
    case open(BrokerAnswer)
    /// Encoded, with secrets: leaves the broker in a sealed box alone. `outcome` is for the journal.
    case secret(SharedSecret, outcome: String)
}

/// Everything that the broker can do, one job at a time.
package struct BrokerJobs: Sendable {
    private let databases: PostgresJobs
    private let web: WebJobs
    private let mail: MailJobs
    private let oauth: OAuthJobs

    /// - Parameters:
    ///   - policy: where connections may go.
    ///   - trust: which web and mail servers are believed.
    package init(policy: EgressPolicy, trust: WebTrust) {
        databases = PostgresJobs(policy: policy)
        web = WebJobs(policy: policy, trust: trust)
        mail = MailJobs(policy: policy, trust: trust)
        oauth = OAuthJobs(policy: policy, trust: trust)
    }

    /// Blocks until it is done.
    package func perform(_ work: BrokerWork) -> JobResult {
        switch work {
        case .database(let view): .open(databases.perform(view))
        case .post(let job): .open(web.perform(job))
        case .mail(let view): .open(mail.perform(view))
        case .oauth(let view): oauth.perform(view)
        }
    }
}
