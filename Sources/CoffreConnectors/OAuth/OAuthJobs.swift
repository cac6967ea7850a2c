internal import CoffreCrypto
package import CoffreWire
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL

/// Speaks to OAuth providers: one exchange, to an address that the policy permits, with no redirect followed.
package struct OAuthJobs: Sendable {
    private let policy: EgressPolicy
    private let trust: WebTrust

    package init(policy: EgressPolicy, trust: WebTrust) {
        self.policy = policy
        self.trust = trust
    }

    /// Blocks for at most the job's time limit, beyond what the resolver takes.
    package func perform(_ view: BrokerOAuthView) -> JobResult {
        let answer: OAuthAnswer
        do throws(OAuthFailure) {
            answer = try attempt(view)
        } catch {
            answer = OAuthAnswer(OAuthReply(.failed(error.problem)))
        }
        let outcome =
            switch answer.reply.outcome {
            case .granted: "granted"
            case .failed(let problem): "\(problem)"
            }
        guard let encoded = answer.encoded else {
            // Every part was held to its limit when it was read: this does not happen.
            return .open(.failed(BrokerFailure(.reply)))
        }
        return .secret(encoded, outcome: outcome)
    }

    private struct OAuthFailure: Error {
        let problem: OAuthProblem
    }

    private func attempt(_ view: BrokerOAuthView) throws(OAuthFailure) -> OAuthAnswer {
        let job = view.job
        let deadline = NIODeadline.now() + .seconds(Int64(job.timeoutSeconds))
        let addresses: [NetworkAddress]
        do throws(BrokerFailure) {
            addresses = try NameResolution.addresses(of: job.target.host, port: job.target.port, policy: policy)
        } catch {
            throw OAuthFailure(problem: OAuthProblem(error))
        }
        let tls = try tls(view)
        let exchange = try exchange(view)
        var problem = OAuthProblem.unreachable
        for address in addresses {
            do throws(WebExchange.Failure) {
                return try exchange.perform(to: address, tls: tls, deadline: deadline) { head, content in
                    OAuthAnswer.read(job, OAuthHead(head), content)
                }
            } catch {
                problem = Self.problem(error, hasCertificate: job.clientCertificate != nil)
                // Another address is worth a try only when nobody answered at this one.
                guard problem == .unreachable else { break }
            }
        }
        throw OAuthFailure(problem: problem)
    }

    private func exchange(_ view: BrokerOAuthView) throws(OAuthFailure) -> WebExchange {
        let request: OAuthRequest
        do throws(CryptoError) {
            request = try OAuthRequest(view, now: Int64(time(nil)), nonce: Hex.encode(Random.bytes(16)))
        } catch {
            throw OAuthFailure(problem: .badJob)
        }
        let method: HTTPMethod =
            switch view.job.method {
            case .post: .POST
            case .get: .GET
            case .delete: .DELETE
            }
        return WebExchange(
            url: view.job.target.place + request.path,
            host: view.job.target.host,
            method: method,
            headers: HTTPHeaders(request.headers.map { ($0.name, $0.value) }),
            body: request.body,
            limit: OAuthReply.Limit.answer
        )
    }

    private func tls(_ view: BrokerOAuthView) throws(OAuthFailure) -> TLSConfiguration {
        var tls = trust.configuration
        if view.job.minimumTLS == .tls12 { tls.minimumTLSVersion = .tlsv12 }
        do {
            if let root = view.job.rootCertificate {
                let certificates = try NIOSSLCertificate.fromPEMBytes(root)
                guard !certificates.isEmpty else { throw OAuthFailure(problem: .badJob) }
                tls.trustRoots = .certificates(certificates)
            }
            if let chain = view.job.clientCertificate, let key = view.secrets[.certificateKey] {
                let certificates = try NIOSSLCertificate.fromPEMBytes(chain)
                guard !certificates.isEmpty else { throw OAuthFailure(problem: .badJob) }
                tls.certificateChain = certificates.map { .certificate($0) }
                var bytes = Array(key)
                defer { bytes.withUnsafeMutableBytes { Memory.wipe($0) } }
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: bytes, format: .pem))
            }
        } catch {
            throw OAuthFailure(problem: .badJob)
        }
        return tls
    }

    /// What a failure means depends on whether the request had gone by then.
    private static func problem(_ failure: WebExchange.Failure, hasCertificate: Bool) -> OAuthProblem {
        guard failure.wasSent else {
            switch failure.code {
            case .tls: return .tls
            // Neither the connection nor the handshake came about.
            default: return .unreachable
            }
        }
        if failure.isTooLong { return .tooLarge }
        switch failure.code {
        case .reply: return .malformed
        case .timeout: return .timeout
        // With TLS 1.3 a server judges the client's certificate after the client has begun to speak (RFC 8446 §4.4.2.4).
        case .tls where hasCertificate: return .tls
        default: return .interrupted
        }
    }
}
