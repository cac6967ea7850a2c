extension PostgresTarget {
    /// Splits what follows `postgresql://` into settings by libpq's keyword names.
    static func urlSettings(_ text: Substring) throws(PostgresTargetError) -> [String: String] {
        var settings: [String: String] = [:]
        let query = text.firstIndex(of: "?")
        let place = query.map { text[..<$0] } ?? text
        if let query {
            let pairs = text[text.index(after: query)...]
            for pair in pairs.split(separator: "&", omittingEmptySubsequences: true) {
                guard let equals = pair.firstIndex(of: "=") else {
                    throw PostgresTargetError("an option in connection_url has no value")
                }
                let name = try decode(pair[..<equals])
                guard ["sslmode", "sslrootcert", "ssl_min_protocol_version"].contains(name) else {
                    throw PostgresTargetError(
                        "connection_url holds an option other than sslmode, sslrootcert and ssl_min_protocol_version"
                    )
                }
                try set(name, decode(pair[pair.index(after: equals)...]), in: &settings)
            }
        }
        let slash = place.firstIndex(of: "/")
        let authority = slash.map { place[..<$0] } ?? place
        if let slash { settings["dbname"] = try decode(place[place.index(after: slash)...]) }
        let at = authority.lastIndex(of: "@")
        if let at { try user(authority[..<at], in: &settings) }
        try hostAndPort(at.map { authority[authority.index(after: $0)...] } ?? authority, in: &settings)
        return settings
    }

    /// `user[:password]`, kept as written: percent-encoded braces are a literal, hence refused later.
    private static func user(_ text: Substring, in settings: inout [String: String]) throws(PostgresTargetError) {
        guard let colon = text.firstIndex(of: ":") else {
            settings["user"] = String(text)
            return
        }
        settings["user"] = String(text[..<colon])
        settings["password"] = String(text[text.index(after: colon)...])
    }

    private static func hostAndPort(
        _ text: Substring,
        in settings: inout [String: String]
    ) throws(PostgresTargetError) {
        var rest = text
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else {
                throw PostgresTargetError("an IPv6 address in connection_url is not closed by ]")
            }
            let address = String(text[text.index(after: text.startIndex)..<end])
            guard address.contains(":") else {
                throw PostgresTargetError("only an IPv6 address stands in [ ] in connection_url")
            }
            settings["host"] = address
            rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.first == ":" else {
                throw PostgresTargetError("something follows the ] of the host in connection_url")
            }
        } else {
            let colon = text.firstIndex(of: ":") ?? text.endIndex
            settings["host"] = try decode(text[..<colon])
            guard !(settings["host"] ?? "").contains(":") else {
                throw PostgresTargetError("an IPv6 address in connection_url stands in [ ]")
            }
            rest = text[colon...]
        }
        if rest.first == ":" {
            let port = String(rest.dropFirst())
            guard !port.isEmpty else {
                throw PostgresTargetError("the port in connection_url is a number from 1 to 65535")
            }
            guard !port.contains(",") else { throw PostgresTargetError("connection_url names more than one host") }
            settings["port"] = port
        }
    }

    /// libpq's keyword form: `name=value` between spaces, `'…'` quotes, `\` escapes (PostgreSQL manual 34.1.1.1).
    static func keywordSettings(_ text: String) throws(PostgresTargetError) -> [String: String] {
        let malformed = PostgresTargetError(
            "connection_url is neither postgresql://{{username}}:{{password}}@HOST:PORT/DATABASE nor host=HOST dbname=…"
        )
        var settings: [String: String] = [:]
        var rest = text[...]
        while true {
            rest = rest.drop { $0 == " " }
            guard !rest.isEmpty else { return settings }
            guard let equals = rest.firstIndex(of: "=") else { throw malformed }
            let name = rest[..<equals].trimmingSpaces
            guard
                ["host", "port", "dbname", "user", "password", "sslmode", "sslrootcert", "ssl_min_protocol_version"]
                    .contains(name)
            else {
                throw name.utf8.allSatisfy({ (97...122).contains($0) || $0 == 95 }) && !name.isEmpty
                    ? PostgresTargetError("connection_url holds a keyword that is not supported") : malformed
            }
            rest = rest[rest.index(after: equals)...].drop { $0 == " " }
            try set(name, value(&rest), in: &settings)
        }
    }

    private static func value(_ rest: inout Substring) throws(PostgresTargetError) -> String {
        var value = ""
        let quoted = rest.first == "'"
        if quoted { rest = rest.dropFirst() }
        while let character = rest.first {
            rest = rest.dropFirst()
            switch character {
            case "\\":
                guard let escaped = rest.popFirst() else {
                    throw PostgresTargetError("connection_url ends in the middle of an escape")
                }
                value.append(escaped)
            case "'" where quoted:
                guard rest.isEmpty || rest.first == " " else {
                    throw PostgresTargetError("something follows a closing quote in connection_url")
                }
                return value
            case " " where !quoted: return value
            default: value.append(character)
            }
        }
        guard !quoted else { throw PostgresTargetError("a quote in connection_url is not closed") }
        return value
    }

    private static func set(
        _ name: String,
        _ value: String,
        in settings: inout [String: String]
    ) throws(PostgresTargetError) {
        guard settings.updateValue(value, forKey: name) == nil else {
            throw PostgresTargetError("connection_url gives the same option twice")
        }
    }

    /// Percent-decoding (RFC 3986 §2.1) to UTF-8 without control characters.
    private static func decode(_ text: Substring) throws(PostgresTargetError) -> String {
        let malformed = PostgresTargetError("a percent-encoding in connection_url is malformed")
        var bytes: [UInt8] = []
        var source = text.utf8[...]
        while let byte = source.popFirst() {
            guard byte == 0x25 else {
                bytes.append(byte)
                continue
            }
            guard let high = source.popFirst().flatMap(hexDigit), let low = source.popFirst().flatMap(hexDigit) else {
                throw malformed
            }
            bytes.append(high << 4 | low)
        }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }), let decoded = String(validating: bytes, as: UTF8.self)
        else { throw malformed }
        return decoded
    }

    private static func hexDigit(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x30...0x39: character - 0x30
        case 0x41...0x46: character - 0x41 + 10
        case 0x61...0x66: character - 0x61 + 10
        default: nil
        }
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        var end = endIndex
        while end > startIndex, self[index(before: end)] == " " { end = index(before: end) }
        return String(self[startIndex..<end])
    }
}
