internal import CoffreWire

/// What counts in the head of a provider's answer.
struct OAuthHead: Sendable {
    let status: UInt16
    /// Lower case, without parameters.
    let contentType: String
    let isEncoded: Bool
    /// Seconds since 1970.
    let serverTime: UInt64?
    /// Seconds.
    let retryAfter: UInt64?

    init(_ head: WebExchange.Head) {
        self.init(
            status: head.status,
            contentType: head.text("content-type"),
            contentEncoding: head.text("content-encoding"),
            date: head.text("date"),
            retryAfter: head.text("retry-after")
        )
    }

    init(
        status: Int,
        contentType: String? = nil,
        contentEncoding: String? = nil,
        date: String? = nil,
        retryAfter: String? = nil
    ) {
        self.status = UInt16(clamping: min(max(status, 100), 999))
        let type = (contentType ?? "").prefix(256).split(separator: ";", maxSplits: 1).first ?? ""
        self.contentType = type.lowercased().filter { $0 != " " }
        isEncoded = contentEncoding.map { $0.lowercased() != "identity" } ?? false
        let time = date.flatMap { Self.seconds($0) }
        serverTime = time
        self.retryAfter = retryAfter.flatMap { Self.delay($0, time) }
    }

    /// RFC 9110 §10.2.3: seconds, or a date.
    private static func delay(_ text: String, _ serverTime: UInt64?) -> UInt64? {
        if (1...10).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) {
            return UInt64(text).map { min($0, OAuthReply.Limit.seconds) }
        }
        guard let date = seconds(text), let serverTime else { return nil }
        return date > serverTime ? min(date - serverTime, OAuthReply.Limit.seconds) : 0
    }

    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7), the only form that servers may write.
    static func seconds(_ text: String) -> UInt64? {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard text.utf8.count == 29, parts.count == 6, parts[5] == "GMT", parts[0].utf8.count == 4,
            let month = months.firstIndex(of: String(parts[2]))
        else { return nil }
        let number = month + 1
        let padded = number < 10 ? "0\(number)" : "\(number)"
        return RFC3339.seconds("\(parts[3])-\(padded)-\(parts[1])T\(parts[4])Z").flatMap { UInt64(exactly: $0) }
    }
}
