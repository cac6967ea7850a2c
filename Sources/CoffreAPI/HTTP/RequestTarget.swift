internal import CoffreVault

/// Path and query of a request target, decoded once.
struct RequestTarget {
    /// Without `/v1/`; see ``VaultRequest/path``.
    let path: [UInt8]
    let query: [VaultRequest.QueryItem]

    /// Decodes an origin-form or `http` absolute-form target (RFC 9112 §3.2).
    ///
    /// Stricter than RFC 3986 where a second reader could see another path than the policy did: no encoded slash, no
    /// empty, `.` or `..` segment, no byte that does not print (Go's `unicode.IsPrint`, as OpenBao demands).
    /// - Throws: ``HTTPFault``: 400 for those, 404 outside `/v1/`.
    init(_ target: UnsafeRawBufferPointer, queryItems limit: Int) throws(HTTPFault) {
        let origin = try Self.origin(of: target)
        var pathEnd = origin.count
        for index in 0..<origin.count where origin[index] == 0x3F {  // ?
            pathEnd = index
            break
        }
        path = try Self.decodePath(origin.part(0..<pathEnd))
        query =
            pathEnd < origin.count ? try Self.decodeQuery(origin.part(pathEnd + 1..<origin.count), limit: limit) : []
    }

    private static func origin(of target: UnsafeRawBufferPointer) throws(HTTPFault) -> UnsafeRawBufferPointer {
        if target.first == ByteClass.slash { return target }
        let scheme: StaticString = "http://"
        let length = scheme.utf8CodeUnitCount
        guard target.count > length, ByteClass.matchesText(target.part(0..<length), scheme) else {
            throw .badPath("the request target must be a path")
        }
        for index in length..<target.count where target[index] == ByteClass.slash {
            return target.part(index..<target.count)
        }
        throw .badPath("the request target must be a path")
    }

    private static func decodePath(_ raw: UnsafeRawBufferPointer) throws(HTTPFault) -> [UInt8] {
        var fault: HTTPFault?
        var isASCII = true
        let prefix: StaticString = "/v1/"
        let prefixBytes = prefix.utf8CodeUnitCount
        let decoded = [UInt8](unsafeUninitializedCapacity: raw.count) { out, written in
            var input = 0
            var output = 0  // Counts the prefix too, which is compared and not stored.
            var segmentStart = 1
            while input < raw.count {
                var byte = raw[input]
                input += 1
                if byte == 0x25 {
                    guard input + 1 < raw.count, let high = ByteClass.hexValue(raw[input]),
                        let low = ByteClass.hexValue(raw[input + 1])
                    else {
                        fault = .badPath("a percent sign in the path must be followed by two hexadecimal digits")
                        return
                    }
                    byte = high << 4 | low
                    input += 2
                    if byte == ByteClass.slash {
                        fault = .badPath("an encoded slash in the path is refused")
                        return
                    }
                }
                if byte < 0x20 || byte == 0x7F {
                    fault = .badPath("the path holds a byte that does not print")
                    return
                }
                if byte >= 0x80 { isASCII = false }
                if output < prefixBytes {
                    guard byte == prefix.utf8Start[output] else {
                        fault = .noRoute
                        return
                    }
                    output += 1
                    if output == prefixBytes { segmentStart = output }
                    continue
                }
                if byte == ByteClass.slash {
                    fault = segmentFault(out, segmentStart - prefixBytes, output - prefixBytes, isLast: false)
                    if fault != nil { return }
                    segmentStart = output + 1
                }
                out[output - prefixBytes] = byte
                output += 1
            }
            guard output > prefixBytes else {
                fault = .noRoute
                return
            }
            fault = segmentFault(out, segmentStart - prefixBytes, output - prefixBytes, isLast: true)
            written = output - prefixBytes
        }
        if let fault { throw fault }
        if !isASCII { try requirePrintable(decoded) }
        return decoded
    }

    private static func segmentFault(
        _ bytes: UnsafeMutableBufferPointer<UInt8>,
        _ start: Int,
        _ end: Int,
        isLast: Bool
    ) -> HTTPFault? {
        switch end - start {
        case 0 where !isLast: .badPath("an empty path segment is refused")
        case 1 where bytes[start] == 0x2E: .badPath("relative paths not supported")
        case 2 where bytes[start] == 0x2E && bytes[start + 1] == 0x2E: .badPath("relative paths not supported")
        default: nil
        }
    }

    /// Refuses invalid UTF-8 and every scalar that Go's `unicode.IsPrint` refuses.
    private static func requirePrintable(_ path: [UInt8]) throws(HTTPFault) {
        guard let text = String(validating: path, as: UTF8.self) else { throw .badPath("the path is not valid UTF-8") }
        for scalar in text.unicodeScalars where !scalar.isASCII {
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate, .privateUse, .unassigned, .spaceSeparator, .lineSeparator,
                .paragraphSeparator:
                throw .badPath("the path holds a character that does not print")
            default: continue
            }
        }
    }

    /// Go's `url.ParseQuery` as its HTTP server uses it: `+` is a space, a pair with a bad escape or a semicolon is
    /// dropped, `a` stands for `a=`. Beyond that, bytes that no parameter holds (controls, invalid UTF-8) are refused.
    private static func decodeQuery(
        _ raw: UnsafeRawBufferPointer,
        limit: Int
    ) throws(HTTPFault) -> [VaultRequest.QueryItem] {
        var items: [VaultRequest.QueryItem] = []
        var start = 0
        while start < raw.count {
            var end = start
            var equals: Int?
            var hasSemicolon = false
            while end < raw.count, raw[end] != 0x26 {  // &
                if raw[end] == 0x3D, equals == nil { equals = end }
                if raw[end] == 0x3B { hasSemicolon = true }
                end += 1
            }
            defer { start = end + 1 }
            guard end > start, !hasSemicolon else { continue }
            guard items.count < limit else { throw .malformed("the query has too many parameters") }
            let nameEnd = equals ?? end
            guard let name = try decodeComponent(raw.part(start..<nameEnd)),
                let value = try decodeComponent(raw.part(min(nameEnd + 1, end)..<end))
            else { continue }
            items.append(VaultRequest.QueryItem(name: name, value: value))
        }
        return items
    }

    /// Nil for a bad escape.
    private static func decodeComponent(_ raw: UnsafeRawBufferPointer) throws(HTTPFault) -> String? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(raw.count)
        var index = 0
        while index < raw.count {
            var byte = raw[index]
            index += 1
            if byte == 0x2B {
                byte = ByteClass.space
            } else if byte == 0x25 {
                guard index + 1 < raw.count, let high = ByteClass.hexValue(raw[index]),
                    let low = ByteClass.hexValue(raw[index + 1])
                else { return nil }
                byte = high << 4 | low
                index += 2
            }
            guard byte >= 0x20, byte != 0x7F else { throw .malformed("the query holds a byte that does not print") }
            bytes.append(byte)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .malformed("the query is not valid UTF-8")
        }
        return text
    }
}
