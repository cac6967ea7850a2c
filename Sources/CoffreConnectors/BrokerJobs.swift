package import CoffreWire

/// Everything that the broker can do, one job at a time.
package struct BrokerJobs: Sendable {
    private let databases: PostgresJobs
    private let web: WebJobs
    private let mail: MailJobs

    /// - Parameters:
    ///   - policy: where connections may go.
    ///   - trust: which web and mail servers are believed.
    package init(policy: EgressPolicy, trust: WebTrust) {
        databases = PostgresJobs(policy: policy)
        web = WebJobs(policy: policy, trust: trust)
        mail = MailJobs(policy: policy, trust: trust)
    }

    /// Blocks until it is done.
    package func perform(_ work: BrokerWork) -> BrokerAnswer {
        switch work {
        case .database(let view): databases.perform(view)
        case .post(let job): web.perform(job)
        case .mail(let view): mail.perform(view)
        }
    }
}
