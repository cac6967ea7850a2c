internal import AsyncHTTPClient
package import CoffreWire
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// Hands something to a web server, or fetches it: one POST or GET, to an address that the policy permits, with no redirect followed.
package struct WebJobs: Sendable {
    private let policy: EgressPolicy
    private let trust: WebTrust

    package init(policy: EgressPolicy, trust: WebTrust) {
        self.policy = policy
        self.trust = trust
    }

    /// Blocks for at most the job's time limit, beyond what the resolver takes.
    package func perform(_ job: BrokerPost) -> BrokerAnswer {
        let deadline = NIODeadline.now() + .seconds(Int64(job.timeoutSeconds))
        do throws(BrokerFailure) {
            var addresses = try NameResolution.addresses(of: job.target.host, port: job.target.port, policy: policy)
            if job.target.scheme == .http {
                // Without TLS anybody on the way could speak: no way leads out of this machine.
                addresses = addresses.filter(\.isLoopback)
                guard !addresses.isEmpty else { throw BrokerFailure(.tls) }
            }
            var failure = BrokerFailure(.refused)
            for address in addresses {
                do throws(BrokerFailure) {
                    return .replied(try post(job, to: address, deadline))
                } catch {
                    failure = error
                    // Another address is worth a try only when nobody answered at this one.
                    guard error.code == .refused else { throw error }
                }
            }
            throw failure
        } catch {
            return .failed(error)
        }
    }

    private func post(
        _ job: BrokerPost,
        to address: NetworkAddress,
        _ deadline: NIODeadline
    ) throws(BrokerFailure) -> BrokerReply {
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: trust.configuration,
            redirectConfiguration: .disallow,
            timeout: HTTPClient.Configuration.Timeout(connect: deadline - .now()),
            decompression: .disabled
        )
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.idleTimeout = .seconds(1)
        // The name is checked in the certificate; the connection goes to the address that was judged.
        configuration.dnsOverride = [job.target.host: address.description]
        let client = HTTPClient(
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton),
            configuration: configuration
        )
        defer { try? client.syncShutdown() }
        do {
            var headers: HTTPHeaders = [
                job.method == .get ? "accept" : "content-type": job.contentType, "user-agent": "coffre-broker",
            ]
            if !job.signature.isEmpty { headers.add(name: "x-coffre-signature", value: job.signature) }
            let request = try HTTPClient.Request(
                url: job.target.text,
                method: job.method == .get ? .GET : .POST,
                headers: headers,
                body: job.method == .get ? nil : .bytes(job.body)
            )
            let collector = ResponseAccumulator(request: request, maxBodySize: BrokerReply.maximumBodyBytes)
            let response = try client.execute(request: request, delegate: collector, deadline: deadline).wait()
            return try BrokerReply(
                status: UInt16(clamping: response.status.code),
                contentType: response.headers.first(name: "content-type") ?? "",
                body: response.body.map { Array($0.readableBytesView) } ?? []
            )
        } catch {
            throw Self.failure(error)
        }
    }

    private static let timeouts: [HTTPClientError] = [
        .deadlineExceeded, .connectTimeout, .readTimeout, .getConnectionFromPoolTimeout,
    ]

    static func failure(_ error: any Error) -> BrokerFailure {
        switch error {
        case is ResponseAccumulator.ResponseTooBigError, is HTTPParserError, is BrokerWireError: BrokerFailure(.reply)
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError: BrokerFailure(.tls)
        case is NIOConnectionError, is IOError: BrokerFailure(.refused)
        case let error as HTTPClientError where timeouts.contains(error): BrokerFailure(.timeout)
        case let error as HTTPClientError where error == .tlsHandshakeTimeout: BrokerFailure(.tls)
        case is ChannelError: BrokerFailure(.timeout)
        default: BrokerFailure(.unavailable)
        }
    }
}

extension NetworkAddress {
    /// 127.0.0.0/8 and ::1.
    var isLoopback: Bool { ipv4.map { $0[0] == 127 } ?? (bytes == [UInt8](repeating: 0, count: 15) + [1]) }
}
