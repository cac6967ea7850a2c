internal import CoffreCrypto
internal import CoffreWire

/// A provider's answer in the one form that all have in the end. Reading is pure.
struct OAuthAnswer: Sendable {
    var reply: OAuthReply
    var secrets: [OAuthReply.Secret: SharedSecret] = [:]

    init(_ reply: OAuthReply) { self.reply = reply }

    /// For the sealed box; nil when a part breaks its limit.
    var encoded: SharedSecret? {
        let items = secrets.map { (key: $0.key, value: $0.value) }
        return try? Self.lend(items[...], [:]) { lent throws(BrokerWireError) in
            let size = reply.encodedSize(secretBytes: lent.mapValues(\.count))
            return SharedSecret(
                try SecretBytes(count: size) { target throws(BrokerWireError) in
                    _ = try reply.encode(secrets: lent, into: target)
                }
            )
        }
    }

    private static func lend<R>(
        _ rest: ArraySlice<(key: OAuthReply.Secret, value: SharedSecret)>,
        _ lent: [OAuthReply.Secret: UnsafeRawBufferPointer],
        _ body: ([OAuthReply.Secret: UnsafeRawBufferPointer]) throws(BrokerWireError) -> R
    ) throws(BrokerWireError) -> R {
        guard let first = rest.first else { return try body(lent) }
        return try first.value.withBytes { bytes throws(BrokerWireError) in
            var lent = lent
            lent[first.key] = bytes
            return try lend(rest.dropFirst(), lent, body)
        }
    }

    /// Judges an answer to `job`.
    static func read(_ job: BrokerOAuth, _ head: OAuthHead, _ bytes: UnsafeRawBufferPointer) -> OAuthAnswer {
        var answer = OAuthAnswer(OAuthReply(.granted))
        answer.reply.status = head.status
        answer.reply.retryAfter = head.retryAfter
        answer.reply.serverTime = head.serverTime
        guard !(300..<400).contains(head.status) else { return answer.failed(.redirected) }
        guard !head.isEncoded else {
            return answer.failed((200..<300).contains(head.status) ? .malformed : problem(job, head.status))
        }
        let content = OAuthContent(bytes, type: head.contentType)
        do throws(OAuthContent.Ambiguous) {
            return try answer.judged(job, head.status, content)
        } catch {
            return answer.failed(.malformed)
        }
    }

    private func failed(_ problem: OAuthProblem, _ word: String? = nil) -> OAuthAnswer {
        var answer = OAuthAnswer(reply)
        answer.reply.outcome = .failed(problem)
        answer.reply.error = word
        return answer
    }

    private func judged(
        _ job: BrokerOAuth,
        _ status: UInt16,
        _ content: OAuthContent
    ) throws(OAuthContent.Ambiguous) -> OAuthAnswer {
        let isSuccess = (200..<300).contains(status)
        let isCall = job.kind == .revoke || job.kind == .probe
        let looksInside = !isCall || !isSuccess || job.quirks.contains(.errorsIn200)
        let complaint = looksInside ? try OAuthComplaint(content) : nil
        if complaint != nil || !isSuccess {
            if !isCall, job.quirks.contains(.tokensInErrors), let answer = try granted(job, content) { return answer }
            if !isSuccess, !isCall, complaint?.word == nil, case .page = content { return failed(.temporary) }
            let word = complaint?.word
            return failed(OAuthComplaint.problem(of: word, job, status) ?? Self.problem(job, status), word)
        }
        if isCall { return try called(job, content) }
        if let answer = try granted(job, content) { return answer }
        if case .page = content { return failed(.temporary) }
        return failed(.malformed)
    }

    /// What a status says by itself.
    private static func problem(_ job: BrokerOAuth, _ status: UInt16) -> OAuthProblem {
        let isCall = job.kind == .revoke || job.kind == .probe
        // Whom the refusal is about: the token, or the client that proves itself.
        let isAboutToken = job.kind == .probe || isCall && job.authentication == .none
        switch status {
        case 408, 425, 429, 500...: return .temporary
        case 401: return isAboutToken ? .invalidToken : .invalidClient
        case 403 where isAboutToken: return .insufficientScope
        default: return .refused
        }
    }

    /// The answer to a call that gives no token.
    private func called(_ job: BrokerOAuth, _ content: OAuthContent) throws(OAuthContent.Ambiguous) -> OAuthAnswer {
        switch content {
        // A page for people proves nothing about a token: a sign-in page comes with 200 too.
        case .page where job.kind == .probe: return failed(.temporary)
        case .other where !job.learns.isEmpty: return failed(.malformed)
        default:
            var answer = self
            answer.reply.learnt = try Self.learnt(job, content)
            return answer
        }
    }

    /// The answer with what was asked for; nil when that is not, or not whole, in it.
    private func granted(
        _ job: BrokerOAuth,
        _ content: OAuthContent
    ) throws(OAuthContent.Ambiguous) -> OAuthAnswer? {
        guard
            let tokens = try job.tokenObject.map({ path throws(OAuthContent.Ambiguous) in
                try content.object(at: path)
            }) ?? content
        else { return nil }
        var answer = self
        let wanted: [(OAuthReply.Secret, String, isNeeded: Bool)] =
            switch job.kind {
            case .deviceStart: [(.deviceCode, "device_code", true)]
            case .requestToken, .accessToken:
                [(.accessToken, "oauth_token", true), (.tokenSecret, "oauth_token_secret", true)]
            default: [(.accessToken, "access_token", true), (.refreshToken, "refresh_token", false)]
            }
        for (secret, name, isNeeded) in wanted {
            // An empty text is how some say "none".
            guard let value = try tokens.member(name), value.saysSomething else {
                if isNeeded { return nil }
                continue
            }
            guard let text = Self.secret(value, secret) else { return nil }
            answer.secrets[secret] = text
        }
        // Worth less than the grant: one that cannot be kept is left out.
        if let identity = try tokens.member("id_token") { answer.secrets[.idToken] = Self.secret(identity, .idToken) }
        try answer.fill(tokens)
        if job.kind == .deviceStart, answer.reply.userCode == nil || answer.reply.verificationURI == nil { return nil }
        answer.reply.learnt = try Self.learnt(job, content)
        return answer
    }

    private static func secret(_ value: OAuthContent.Value, _ secret: OAuthReply.Secret) -> SharedSecret? {
        guard let text = value.secret(atMost: secret.maximumBytes) else { return nil }
        return text.withBytes { $0.allSatisfy { (0x20...0x7e).contains($0) } } ? text : nil
    }

    private mutating func fill(_ tokens: OAuthContent) throws(OAuthContent.Ambiguous) {
        reply.expiresIn = try tokens.member("expires_in")?.seconds
        for name in ["refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"] {
            if reply.refreshExpiresIn == nil { reply.refreshExpiresIn = try tokens.member(name)?.seconds }
        }
        reply.scope = try Self.scope(tokens)
        reply.tokenType = try Self.word(tokens, "token_type")
        reply.userCode = try Self.word(tokens, "user_code")
        // RFC 8628 has the first name; some servers are older than it.
        for name in ["verification_uri", "verification_url"] where reply.verificationURI == nil {
            reply.verificationURI = try Self.address(tokens, name)
        }
        reply.verificationURIComplete = try Self.address(tokens, "verification_uri_complete")
        reply.interval = try tokens.member("interval")?.seconds
    }

    private static func word(_ tokens: OAuthContent, _ name: String) throws(OAuthContent.Ambiguous) -> String? {
        let text = try tokens.member(name)?.text(atMost: OAuthReply.Limit.word)
        return text.flatMap { isShort($0) ? $0 : nil }
    }

    private static func address(_ tokens: OAuthContent, _ name: String) throws(OAuthContent.Ambiguous) -> String? {
        let text = try tokens.member(name)?.text(atMost: OAuthReply.Limit.address)
        return text.flatMap { OAuthReply.isAddress($0) ? $0 : nil }
    }

    /// A text, or a list of texts. What cannot be kept becomes empty, as none would mean "as asked".
    private static func scope(_ tokens: OAuthContent) throws(OAuthContent.Ambiguous) -> String? {
        guard let value = try tokens.member("scope") else { return nil }
        var text = value.text(atMost: OAuthReply.Limit.scope)
        if case .json(let view) = value, view.isArray {
            let parts = view.elements.map { $0.string }
            text = parts.contains(nil) ? nil : parts.compactMap(\.self).joined(separator: " ")
        }
        guard let text, text.utf8.count <= OAuthReply.Limit.scope, isShort(text) else { return "" }
        return text
    }

    private static func isShort(_ text: String) -> Bool { text.utf8.allSatisfy { (0x20...0x7e).contains($0) } }

    private static func learnt(
        _ job: BrokerOAuth,
        _ content: OAuthContent
    ) throws(OAuthContent.Ambiguous) -> [OAuthReply.Learnt] {
        var learnt: [OAuthReply.Learnt] = []
        var total = 0
        for learn in job.learns {
            for (index, value) in try content.values(at: learn.value) {
                guard let text = value.text(atMost: OAuthReply.Limit.value), !text.isEmpty,
                    OAuthReply.isPrintable(text), !text.utf8.contains(0)
                else { continue }
                total += 6 + learn.name.utf8.count + text.utf8.count
                guard learnt.count < OAuthReply.Limit.learnt, total <= OAuthReply.Limit.learntTotal else {
                    return learnt
                }
                learnt.append(OAuthReply.Learnt(name: learn.name, index: index, value: text))
            }
        }
        return learnt
    }
}
