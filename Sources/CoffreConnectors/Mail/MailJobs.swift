internal import CoffreCrypto
package import CoffreWire
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Sends one message by SMTP, always under TLS.
package struct MailJobs: Sendable {
    private let policy: EgressPolicy
    private let trust: WebTrust

    package init(policy: EgressPolicy, trust: WebTrust) {
        self.policy = policy
        self.trust = trust
    }

    /// Blocks for at most the job's time limit, beyond what the resolver takes.
    package func perform(_ view: BrokerMailView) -> BrokerAnswer {
        let mail = view.mail
        let deadline = NIODeadline.now() + .seconds(Int64(mail.timeoutSeconds))
        do throws(BrokerFailure) {
            let addresses = try NameResolution.addresses(of: mail.host, port: mail.port, policy: policy)
            var failure = BrokerFailure(.refused)
            for address in addresses {
                do throws(BrokerFailure) {
                    try send(mail, login: Self.login(view), to: address, deadline)
                    return .done(serverVersion: nil, tlsVersion: nil, sessionsEnded: 0)
                } catch {
                    failure = error
                    guard error.code == .refused else { throw error }
                }
            }
            throw failure
        } catch {
            return .failed(error)
        }
    }

    /// The line that logs in (RFC 4616), nil when there is no user.
    private static func login(_ view: BrokerMailView) -> [UInt8]? {
        guard let user = view.mail.user, let password = view.password else { return nil }
        let text = [0] + Array(user.utf8) + [0] + Array(password)
        return Array("AUTH PLAIN \(Base64.encode(text))\r\n".utf8)
    }

    private func send(
        _ mail: BrokerMail,
        login: [UInt8]?,
        to address: NetworkAddress,
        _ deadline: NIODeadline
    ) throws(BrokerFailure) {
        let tls: NIOSSLContext
        do { tls = try NIOSSLContext(configuration: trust.configuration) } catch { throw BrokerFailure(.unavailable) }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Void.self)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(max(deadline - .now(), .milliseconds(1)))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = SMTPHandler(mail, login: login, tls: tls, promise: promise)
                    if mail.security == .implicit {
                        try channel.pipeline.syncOperations.addHandler(
                            try SMTPHandler.makeTLS(tls, host: mail.host)
                        )
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        let timer = loop.scheduleTask(deadline: deadline) { promise.fail(BrokerFailure(.timeout)) }
        defer { timer.cancel() }
        let channel: any Channel
        do {
            channel = try bootstrap.connect(host: address.description, port: Int(mail.port)).wait()
        } catch {
            promise.fail(BrokerFailure(.refused))
            throw BrokerFailure(.refused)
        }
        defer { channel.close(promise: nil) }
        do {
            try promise.futureResult.wait()
        } catch {
            throw error as? BrokerFailure ?? BrokerFailure(.unavailable)
        }
    }
}

/// Carries the actions of a ``SMTPConversation`` out.
private final class SMTPHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var conversation: SMTPConversation
    private let mail: BrokerMail
    private let login: [UInt8]?
    private let tls: NIOSSLContext
    private let promise: EventLoopPromise<Void>

    init(_ mail: BrokerMail, login: [UInt8]?, tls: NIOSSLContext, promise: EventLoopPromise<Void>) {
        conversation = SMTPConversation(mail)
        self.mail = mail
        self.login = login
        self.tls = tls
        self.promise = promise
    }

    static func makeTLS(_ context: NIOSSLContext, host: String) throws -> NIOSSLClientHandler {
        let isAddress = NetworkAddress(host) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        perform(conversation.received(unwrapInboundIn(data).readableBytesView), context)
    }

    private func perform(_ action: SMTPConversation.Action, _ context: ChannelHandlerContext) {
        switch action {
        case .none: break
        case .send(let bytes): send(bytes, context)
        case .authenticate: send(login ?? [], context)
        case .startTLS:
            do {
                let handler = try Self.makeTLS(tls, host: mail.host)
                try context.pipeline.syncOperations.addHandler(handler, position: .first)
                // What is written from here on waits for the handshake.
                perform(conversation.secured(), context)
            } catch {
                fail(.tls, context)
            }
        case .finished(let farewell):
            send(farewell, context)
            promise.succeed(())
            context.close(promise: nil)
        case .failed(let code): fail(code, context)
        }
    }

    private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
    }

    private func fail(_ code: BrokerFailure.Code, _ context: ChannelHandlerContext) {
        promise.fail(BrokerFailure(code))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { perform(conversation.closed(), context) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(error is IOError ? .unavailable : .tls, context)
    }
}
