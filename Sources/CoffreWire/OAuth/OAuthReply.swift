/// What a provider answered to a ``BrokerOAuth``, in one form for all of them, without its secrets: untrusted.
public struct OAuthReply: Sendable, Equatable {
    /// What became of the request.
    public enum Outcome: Sendable, Equatable {
        /// What was asked for is here: tokens, a device's codes, the end of a token, an answer to a probe.
        case granted
        /// Nothing is here.
        case failed(OAuthProblem)
    }

    /// The secrets of an answer.
    public enum Secret: UInt8, Sendable, CaseIterable {
        /// The access token; the token of OAuth 1.0a.
        case accessToken = 2
        /// The refresh token, where one came.
        case refreshToken = 3
        /// The OpenID Connect ID token, where one came.
        case idToken = 4
        /// What polls of a device carry.
        case deviceCode = 5
        /// `oauth_token_secret`
        case tokenSecret = 6

        /// Longest, in bytes.
        public var maximumBytes: Int {
            switch self {
            case .accessToken, .refreshToken: 16_384
            case .idToken: 12_288
            case .deviceCode: 1024
            case .tokenSecret: 1024
            }
        }
    }

    /// A value that the job asked for by name.
    public struct Learnt: Sendable, Equatable {
        /// The name in ``BrokerOAuth/learns``.
        public let name: String
        /// Which element of a list it is of, from 0; 0 also where there is no list.
        public let index: UInt16
        /// Text, or the digits of a number, or `true` or `false`; without control characters.
        public let value: String

        /// A value.
        public init(name: String, index: UInt16, value: String) {
            self.name = name
            self.index = index
            self.value = value
        }
    }

    /// Limits, in bytes where nothing else is said.
    public enum Limit {
        /// The provider's answer; a longer one is not read.
        public static let answer = 1 << 20
        /// `scope`
        public static let scope = 4096
        /// `token_type`, `user_code`
        public static let word = 64
        /// An address for a person.
        public static let address = 1024
        /// A learnt value.
        public static let value = 512
        /// Number of learnt values.
        public static let learnt = 64
        /// All learnt values with their names.
        public static let learntTotal = 8192
        /// A duration, in seconds: a hundred years.
        public static let seconds: UInt64 = 3_155_760_000
    }

    /// What became of the request.
    public var outcome: Outcome
    /// The provider's word for a refusal: 1–64 of `a-z 0-9 _ . -`, upper case made lower; nil for none, or none such.
    public var error: String?
    /// The HTTP status, 100–999; nil when no answer came.
    public var status: UInt16?
    /// Seconds until the access token, or the device code, ends; nil when the answer does not say.
    public var expiresIn: UInt64?
    /// Seconds until the refresh token ends; nil when the answer does not say.
    public var refreshExpiresIn: UInt64?
    /// What was granted; nil when the answer does not say, which means "as asked" (RFC 6749 §5.1); empty when what it
    /// says cannot be kept.
    public var scope: String?
    /// As the provider writes it; nil when the answer does not say.
    public var tokenType: String?
    /// What a person types in.
    public var userCode: String?
    /// Where a person types it in; https or http.
    public var verificationURI: String?
    /// The same with the code in it.
    public var verificationURIComplete: String?
    /// Seconds between two polls; nil means 5 (RFC 8628 §3.2).
    public var interval: UInt64?
    /// `Retry-After`, in seconds.
    public var retryAfter: UInt64?
    /// The server's clock, in seconds since 1970.
    public var serverTime: UInt64?
    /// What the job asked for by name, in its order.
    public var learnt: [Learnt] = []

    /// A reply of which nothing more is known.
    public init(_ outcome: Outcome) { self.outcome = outcome }

    /// The first value of this name.
    public func value(_ name: String) -> String? {
        learnt.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The provider's word, when it is one: upper case made lower, 1–64 of `a-z 0-9 _ . -`.
    public static func errorWord(_ text: some Collection<UInt8>) -> String? {
        guard (1...Limit.word).contains(text.count) else { return nil }
        let lower = text.map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }
        return isErrorWord(lower) ? String(decoding: lower, as: UTF8.self) : nil
    }

    private static func isErrorWord(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.allSatisfy {
            (48...57).contains($0) || (97...122).contains($0) || $0 == 0x5f || $0 == 0x2e || $0 == 0x2d
        }
    }

    /// Whether `text` can be shown: no control characters, none that turn the direction of writing.
    public static func isPrintable(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { scalar in
            switch scalar.value {
            case 0..<0x20, 0x7f...0x9f, 0x200e...0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff, 0xe0000...: false
            default: true
            }
        }
    }

    /// Whether `text` is an address that a person can open: http or https, printable ASCII.
    public static func isAddress(_ text: String) -> Bool {
        (text.hasPrefix("https://") || text.hasPrefix("http://")) && text.utf8.count <= Limit.address
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x3c && $0 != 0x3e }
    }

    func validate() throws(BrokerWireError) {
        if let error, !Self.isErrorWord(error.utf8) || !(1...Limit.word).contains(error.utf8.count) {
            throw Self.invalid
        }
        if let status, !(100...999).contains(status) { throw Self.invalid }
        for seconds in [expiresIn, refreshExpiresIn, interval, retryAfter].compactMap(\.self)
        where seconds > Limit.seconds { throw Self.invalid }
        if let serverTime, serverTime > 253_402_300_799 { throw Self.invalid }
        for (text, limit) in [(scope, Limit.scope), (tokenType, Limit.word), (userCode, Limit.word)] {
            if let text, text.utf8.count > limit || !text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) {
                throw Self.invalid
            }
        }
        for address in [verificationURI, verificationURIComplete].compactMap(\.self) where !Self.isAddress(address) {
            throw Self.invalid
        }
        guard learnt.count <= Limit.learnt, learntBytes <= Limit.learntTotal else { throw Self.invalid }
        for item in learnt {
            try BrokerOAuth.check(name: item.name)
            guard (1...Limit.value).contains(item.value.utf8.count), Self.isPrintable(item.value) else {
                throw Self.invalid
            }
        }
    }

    private static var invalid: BrokerWireError { BrokerWireError(.invalidField, "a field of the reply is not valid") }

    /// What ``learnt`` takes in an encoded reply, in bytes.
    public var learntBytes: Int { learnt.reduce(0) { $0 + 6 + $1.name.utf8.count + $1.value.utf8.count } }
}
