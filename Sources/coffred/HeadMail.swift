internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreHost

/// The message that carries the log's newest head to the people who keep it (RFC 5322, RFC 2045): a text in English and
/// French, and the note as a file.
struct HeadMail {
    let message: [UInt8]

    /// - Parameter seconds: since 1970.
    init(_ head: SignedHead, from: String, to recipients: [String], at seconds: Int64 = WallClock.seconds) {
        let boundary = "=_" + Random.base62(24)
        let domain = from.split(separator: "@").last.map(String.init) ?? "localhost"
        let text = """
            Signed head of the audit log \(head.origin): \(head.size) records, root \(head.rootHash).
            Keep this message. Whoever holds it can show that the log was not cut off or rewritten before this point:
            coffre audit verify --checkpoint FILE

            Tête signée du journal d'audit \(head.origin) : \(head.size) enregistrements, racine \(head.rootHash).
            Conservez ce message. Il prouve que le journal n'a été ni tronqué ni réécrit avant ce point :
            coffre audit verify --checkpoint FICHIER

            """
        let lines =
            [
                "Date: \(Self.date(seconds))", "From: Coffre <\(from)>",
                "To: \(recipients.joined(separator: ",\r\n "))",
                "Subject: Coffre: audit log head \(head.size) of \(Self.short(head.origin))",
                "Message-ID: <\(Random.base62(32))@\(domain)>", "MIME-Version: 1.0",
                "Auto-Submitted: auto-generated", "Content-Type: multipart/mixed; boundary=\"\(boundary)\"", "",
                "--\(boundary)", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64", "",
            ] + Self.base64(Array(text.utf8)) + [
                "--\(boundary)", "Content-Type: text/plain; charset=utf-8; name=\"\(head.size).checkpoint\"",
                "Content-Disposition: attachment; filename=\"\(head.size).checkpoint\"",
                "Content-Transfer-Encoding: base64", "",
            ] + Self.base64(head.note) + ["--\(boundary)--"]
        message = lines.flatMap { Array($0.utf8) + [0x0d, 0x0a] }
    }

    private static func short(_ origin: String) -> String { String(decoding: origin.utf8.prefix(60), as: UTF8.self) }

    static func base64(_ bytes: [UInt8]) -> [String] {
        let text = Array(Base64.encode(bytes).utf8)
        return stride(from: 0, to: text.count, by: 76).map {
            String(decoding: text[$0..<min($0 + 76, text.count)], as: UTF8.self)
        }
    }

    /// RFC 5322 §3.3, in UTC.
    static func date(_ seconds: Int64) -> String {
        let (days, rest) = seconds.quotientAndRemainder(dividingBy: 86_400)
        // Civil date from days: Gregorian, years from 1970 on.
        var (year, day) = (Int64(1970), days)
        func length(_ year: Int64) -> Int64 { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365 }
        while day >= length(year) {
            day -= length(year)
            year += 1
        }
        let months: [Int64] = [31, length(year) == 366 ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        var month = 0
        while day >= months[month] {
            day -= months[month]
            month += 1
        }
        func two(_ number: Int64) -> String { (number < 10 ? "0" : "") + "\(number)" }
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let time = "\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))"
        return "\(weekdays[Int(days % 7)]), \(day + 1) \(names[month]) \(year) \(time) +0000"
    }
}

extension WallClock {
    /// Seconds since 1970.
    static var seconds: Int64 { Int64(clamping: now() / 1_000_000_000) }
}
