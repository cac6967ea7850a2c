import CoffreAPI
import CoffreCrypto
import CoffreVault
import NIOCore

/// What a parser makes of bytes, in a form that can be compared.
enum Parsing {
    static func parser(_ limits: HTTPLimits = HTTPLimits(), memory: Int = 1 << 30) -> RequestParser {
        RequestParser(limits: limits, memory: BodyMemory(limitBytes: memory))
    }

    static func text(_ secret: SharedSecret?) -> String {
        secret.map { $0.withBytes { String(decoding: $0, as: UTF8.self) } } ?? "-"
    }

    static func describe(_ step: RequestParser.Step) -> String? {
        switch step {
        case .needsMore: nil
        case .continueExpected: "continue"
        case .broken(let refused): "broken \(refused.status) \(String(decoding: refused.target, as: UTF8.self))"
        case .complete(let parsed):
            switch parsed.content {
            case .refused(let refused):
                "refused \(refused.status) \(String(decoding: refused.target, as: UTF8.self))"
            case .request(let request):
                "\(request.verb.rawValue) \(String(decoding: request.path, as: UTF8.self))"
                    + " query=\(request.query.map { "\($0.name)=\($0.value)" })"
                    + " token=\(text(request.token)) body=\(text(request.body))"
                    + " wrap=\(request.wrapTTL ?? "-") ns=\(request.namespace ?? "-")"
                    + " type=\(request.contentType ?? "-") keep=\(parsed.keepsAlive)"
            }
        }
    }

    /// Feeds `pieces` one after the other; stops at the first broken framing.
    static func run(_ pieces: [[UInt8]], limits: HTTPLimits = HTTPLimits(), memory: Int = 1 << 30) -> [String] {
        var parser = parser(limits, memory: memory)
        var seen: [String] = []
        var input = ByteBufferAllocator.wiping.buffer(capacity: 64)
        for piece in pieces {
            input.writeBytes(piece)
            while true {
                var reservation: BodyReservation?
                let step = parser.next(&input, now: 1, reserved: &reservation)
                reservation?.release()
                guard let text = describe(step) else { break }
                seen.append(text)
                if case .broken = step { return seen }
            }
        }
        return seen
    }

    static func run(_ text: String, limits: HTTPLimits = HTTPLimits()) -> [String] {
        run([Array(text.utf8)], limits: limits)
    }

    /// The single outcome of one request line and headers.
    static func one(_ text: String, limits: HTTPLimits = HTTPLimits()) -> String {
        run(text, limits: limits).joined(separator: " | ")
    }

    /// The status a `GET` of `target` is refused with, or the path it is understood as.
    static func target(_ target: String) -> String {
        var parser = parser()
        var input = ByteBuffer(string: "GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
        var reservation: BodyReservation?
        switch parser.next(&input, now: 1, reserved: &reservation) {
        case .broken(let refused): return "\(refused.status)"
        case .complete(let parsed):
            switch parsed.content {
            case .refused(let refused): return "\(refused.status)"
            case .request(let request):
                let query = request.query.map { "[\($0.name)=\($0.value)]" }.joined()
                return String(decoding: request.path, as: UTF8.self) + query
            }
        case .needsMore, .continueExpected: return "incomplete"
        }
    }
}
