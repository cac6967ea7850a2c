import CoffreCrypto
import CoffreTestSupport
import CoffreWire
import Foundation

@testable import CoffreConnectors

/// OAuth jobs as tests make them, and their answers as tests read them.
enum OAuthJobBytes {
    static let noKey = [UInt8](repeating: 7, count: 32)

    static func job(
        _ kind: BrokerOAuth.Kind,
        _ url: String,
        publicKey: [UInt8] = noKey,
        _ change: (inout BrokerOAuth) -> Void = { _ in }
    ) throws -> BrokerOAuth {
        var job = BrokerOAuth(kind, at: try WebTarget(url))
        job.publicKey = publicKey
        change(&job)
        return job
    }

    static func encode(_ job: BrokerOAuth, _ secrets: [BrokerOAuth.Secret: String]) throws -> [UInt8] {
        try lend(secrets.map { ($0.key, Array($0.value.utf8)) }[...], [:]) { lent in
            var bytes = [UInt8](repeating: 0, count: job.encodedSize(secretBytes: lent.mapValues(\.count)))
            _ = try bytes.withUnsafeMutableBytes { try job.encode(secrets: lent, into: $0) }
            return bytes
        }
    }

    private static func lend(
        _ rest: ArraySlice<(BrokerOAuth.Secret, [UInt8])>,
        _ lent: [BrokerOAuth.Secret: UnsafeRawBufferPointer],
        _ body: ([BrokerOAuth.Secret: UnsafeRawBufferPointer]) throws -> [UInt8]
    ) throws -> [UInt8] {
        guard let first = rest.first else { return try body(lent) }
        return try first.1.withUnsafeBytes { bytes in
            try lend(rest.dropFirst(), lent.merging([first.0: bytes]) { $1 }, body)
        }
    }

    /// The request that a job makes, at a fixed time.
    static func request(
        _ job: BrokerOAuth,
        _ secrets: [BrokerOAuth.Secret: String],
        now: Int64 = 1_800_000_000,
        nonce: String = "nonce"
    ) throws -> OAuthRequest {
        try encode(job, secrets).withUnsafeBytes { bytes in
            try OAuthRequest(BrokerOAuthView(decoding: bytes), now: now, nonce: nonce)
        }
    }

    /// A reply that was taken apart.
    struct Reply {
        let reply: OAuthReply
        let secrets: [OAuthReply.Secret: String]

        init(_ bytes: UnsafeRawBufferPointer) throws {
            let view = try OAuthReplyView(decoding: bytes)
            reply = view.reply
            secrets = view.secrets.mapValues { String(decoding: $0, as: UTF8.self) }
        }

        var problem: OAuthProblem? {
            guard case .failed(let problem) = reply.outcome else { return nil }
            return problem
        }
    }

    static func perform(
        _ job: BrokerOAuth,
        _ secrets: [BrokerOAuth.Secret: String],
        authority: TestAuthority?,
        allow: [String] = ["127.0.0.0/8"]
    ) throws -> Reply {
        let certificates = try authority.map { Array(try Data(contentsOf: URL(fileURLWithPath: $0.certificate))) }
        let jobs = OAuthJobs(policy: try EgressPolicy(allow: allow), trust: try WebTrust(certificates: certificates))
        let result = try encode(job, secrets).withUnsafeBytes { try jobs.perform(BrokerOAuthView(decoding: $0)) }
        guard case .secret(let encoded, _) = result else {
            throw RunningProcess.Failure(description: "not a secret answer: \(result)")
        }
        return try encoded.withBytes { try Reply($0) }
    }
}
