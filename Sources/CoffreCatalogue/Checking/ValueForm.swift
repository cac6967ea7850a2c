import CoffreWire

/// Forms that are no patterns. All read bytes where they lie and keep none.
enum ValueForm {
    /// Host name of RFC 1123 §2.1, IPv4 address, or IPv6 address without brackets.
    static func isHost(_ text: UnsafeRawBufferPointer) -> Bool {
        guard (1...253).contains(text.count) else { return false }
        if text.contains(UInt8(ascii: ":")) {
            return text.count(where: { $0 == UInt8(ascii: ":") }) >= 2
                && text.allSatisfy { isHex($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") }
        }
        return text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.count) && label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
                && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
        }
    }

    /// One `@` with something before it and a name with a dot after it; no white space.
    static func isEmail(_ text: UnsafeRawBufferPointer) -> Bool {
        let parts = text.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        guard parts.count == 2, (1...64).contains(parts[0].count), text.count <= 254, !text.contains(where: isSpace)
        else { return false }
        let labels = parts[1].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return labels.count >= 2 && labels.allSatisfy { !$0.isEmpty }
    }

    /// What is wrong with an address.
    enum AddressDefect: Equatable {
        case scheme, form
        /// A user or a password in it.
        case userInformation
    }

    /// - Parameter schemes: what it may begin with.
    static func defect(ofAddress text: UnsafeRawBufferPointer, schemes: [String]) -> AddressDefect? {
        guard text.count <= 2048, !text.contains(where: { isSpace($0) || $0 < 0x20 || $0 == 0x7f || $0 == 0x5c }) else {
            return .form
        }
        guard let scheme = schemes.first(where: { text.starts(with: ($0 + "://").utf8) }) else { return .scheme }
        let rest = text.dropFirst(scheme.utf8.count + 3)
        let authority = rest.prefix { ![0x2f, 0x3f, 0x23].contains($0) }
        guard !authority.contains(UInt8(ascii: "@")) else { return .userInformation }
        var host = authority
        var port: Slice<UnsafeRawBufferPointer>?
        if host.first == UInt8(ascii: "[") {
            guard let close = host.firstIndex(of: UInt8(ascii: "]")) else { return .form }
            let after = host[(close + 1)...]
            guard after.isEmpty || after.first == UInt8(ascii: ":") else { return .form }
            port = after.isEmpty ? nil : after.dropFirst()
            host = host[(host.startIndex + 1)..<close]
            guard host.contains(UInt8(ascii: ":")) else { return .form }
        } else if let colon = host.firstIndex(of: UInt8(ascii: ":")) {
            port = host[(colon + 1)...]
            host = host[..<colon]
        }
        if let port {
            guard (1...5).contains(port.count), let number = integer(port), (1...65535).contains(number) else {
                return .form
            }
        }
        return isHost(UnsafeRawBufferPointer(rebasing: host)) ? nil : .form
    }

    /// Blocks of RFC 7468, each with one of `labels`, and nothing but white space around them.
    static func isPEM(_ text: UnsafeRawBufferPointer, labels: [String]) -> Bool {
        var rest = text[...]
        var blocks = 0
        while true {
            rest = rest.drop(while: isSpace)
            if rest.isEmpty { return blocks > 0 }
            guard let label = labels.first(where: { rest.starts(with: "-----BEGIN \($0)-----".utf8) }) else {
                return false
            }
            rest = rest.dropFirst("-----BEGIN -----".utf8.count + label.utf8.count)
            let body = rest.prefix { $0 != UInt8(ascii: "-") }
            let end = Array("-----END \(label)-----".utf8)
            rest = rest.dropFirst(body.count)
            guard rest.starts(with: end), body.contains(where: { !isSpace($0) }), body.first.map(isSpace) == true,
                body.allSatisfy({ isSpace($0) || isBase64($0) })
            else { return false }
            rest = rest.dropFirst(end.count)
            blocks += 1
        }
    }

    static func isJSONObject(_ text: UnsafeRawBufferPointer) -> Bool {
        (try? JSONView(text, maximumDepth: 16, maximumNodes: 10_000))?.isObject == true
    }

    /// Below a folder: relative, without `..`, without empty or hidden ways out.
    static func isRelativePath(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count <= 1024, !text.contains(where: { $0 < 0x20 || $0 == 0x7f || $0 == 0x5c }) else { return false }
        return text.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { part in
            !part.isEmpty && !part.elementsEqual("..".utf8) && !part.elementsEqual(".".utf8)
        }
    }

    /// Decimal digits, with a sign or not.
    static func integer(_ text: some Collection<UInt8>) -> Int64? {
        guard text.count <= 20 else { return nil }
        return Int64(String(decoding: text, as: UTF8.self))
    }

    static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0a, 0x0d].contains(byte) }

    private static func isHex(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }

    private static func isBase64(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || [0x2b, 0x2f, 0x3d].contains(byte)
    }
}
