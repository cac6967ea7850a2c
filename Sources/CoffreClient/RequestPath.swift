/// A path below `/v1/`, checked and percent-encoded once.
///
/// The server refuses `.` and `..` segments, double slashes and control characters; refusing them here gives the reason
/// in words and makes sure that nothing is rewritten on the way.
package struct RequestPath: Sendable, Equatable {
    /// Longest path in bytes, before encoding.
    package static let maximumLength = 4096

    /// As it stands on the request line after `/v1/`.
    package let encoded: String

    /// - Parameter path: `secret/data/app`, without `/v1/`; one slash at either end is dropped.
    /// - Throws: ``ClientError`` with `.invalidInput`.
    package init(_ path: String) throws(ClientError) {
        let trimmed = Self.trimmed(path)
        guard !trimmed.isEmpty else { throw ClientError(.invalidInput, "the path is empty") }
        guard trimmed.utf8.count <= Self.maximumLength else {
            throw ClientError(.invalidInput, "the path is longer than \(Self.maximumLength) bytes")
        }
        for segment in trimmed.utf8.split(separator: 0x2f, omittingEmptySubsequences: false) {
            guard !segment.isEmpty else { throw ClientError(.invalidInput, "the path contains //") }
            guard !segment.elementsEqual(".".utf8), !segment.elementsEqual("..".utf8) else {
                throw ClientError(.invalidInput, "the path contains a . or .. segment")
            }
        }
        guard trimmed.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw ClientError(.invalidInput, "the path contains a control character")
        }
        encoded = Self.percentEncoded(trimmed, keeping: "/")
    }

    /// `path` without one slash at either end.
    package static func trimmed(_ path: String) -> String {
        var text = Substring(path).utf8
        if text.first == 0x2f { text = text.dropFirst() }
        if text.last == 0x2f { text = text.dropLast() }
        return String(Substring(text))
    }

    /// RFC 3986 §2.1: every byte but the unreserved ones and those in `kept` becomes `%XX`.
    package static func percentEncoded(_ text: String, keeping kept: String = "") -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: out.append(byte)
            case _ where kept.utf8.contains(byte): out.append(byte)
            default:
                let hex = Array("0123456789ABCDEF".utf8)
                out += [0x25, hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
