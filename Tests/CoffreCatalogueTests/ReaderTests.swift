import CoffreWire
import Testing

@testable import CoffreCatalogue

/// The reader takes the catalogue, and refuses what it does not understand.
struct ReaderTests {
    private static let labels: JSONValue = {
        let bilingual: JSONValue = ["en": "a", "fr": "b"]
        func names<Word: CaseIterable & RawRepresentable>(_ type: Word.Type) -> JSONValue
        where Word.RawValue == String {
            .object(Word.allCases.map { .init($0.rawValue, bilingual) })
        }
        return [
            "auth": names(Connector.AuthKind.self), "confidence": names(Connector.Confidence.self),
            "health_check": names(Connector.HealthKind.self), "revocation": names(Connector.RevocationKind.self),
            "rotation": names(Connector.RotationKind.self),
        ]
    }()

    /// A catalogue of one connector, which has everything that there may be.
    private static let small = #"""
        {"format":1,"as_of":"2026-11","categories":[{"id":"c","label":{"en":"a","fr":"b"}}],"labels":LABELS,
        "quirks":{"oauth1":{"en":"a","fr":"b"},"q_two":{"en":"a","fr":"b"}},"connectors":[{"id":"x-1",
        "label":{"en":"X","fr":"X"},"summary":{"en":"a","fr":"b"},"category":"c","confidence":"high",
        "auth":["oauth2_authorization_code","password"],"fields":[
        {"name":"port","label":{"en":"a","fr":"b"},"help":{"en":"a","fr":"b"},"type":"integer","required":true,
        "secret":false,"confidence":"certain","minimum":1,"maximum":9,"default":5,"example":6},
        {"name":"rip","label":{"en":"a","fr":"b"},"help":{"en":"a","fr":"b"},"type":"string","required":false,
        "secret":false,"confidence":"certain","pattern":"^[0-9]+$","check":"rip","example":"00799999002345678941"},
        {"name":"key","label":{"en":"a","fr":"b"},"help":{"en":"a","fr":"b"},"type":"pem","required":false,
        "secret":true,"confidence":"likely","pem":["PRIVATE KEY"]},
        {"name":"u","label":{"en":"a","fr":"b"},"help":{"en":"a","fr":"b"},"type":"url","required":false,
        "secret":false,"confidence":"unknown","schemes":["https"],"example":"https://a"},
        {"name":"m","label":{"en":"a","fr":"b"},"help":{"en":"a","fr":"b"},"type":"enum","required":false,
        "secret":false,"confidence":"certain","values":["a","b"],"default":"a"}],
        "one_of":[["rip","key"]],"oauth":{"authorization_url":"https://a/{port}","token_url":"https://a/{api}",
        "revocation_url":null,"device_url":"https://a/d","request_token_url":null,"signature_method":null,
        "pkce":"supported","client_authentication":"both","scope_separator":" ","scopes":["r"],
        "parameters":{"prompt":"consent"},"access_token_seconds":60,"refresh_idle_seconds":null,"grant_seconds":7,
        "refresh_rotates":true,"refresh_grace_seconds":null,
        "learns":[{"name":"api","from":"token","member":"api_domain"}],"quirks":["oauth1","q_two"]},
        "health_check":{"kind":"http","method":"GET","url":"https://a/{m}","expect":{"en":"a","fr":"b"}},
        "rotation":{"kind":"manual","how":{"en":"a","fr":"b"}},
        "revocation":{"kind":"api","how":{"en":"a","fr":"b"}},"unknown":[{"en":"a","fr":"b"}]}]}
        """#.replacing("LABELS", with: String(decoding: labels.encoded(), as: UTF8.self))

    private static func read(_ bytes: [UInt8]) throws -> Catalogue {
        try bytes.withUnsafeBytes { try Catalogue(parsing: $0) }
    }

    private static func read(_ value: JSONValue) throws -> Catalogue { try read(value.encoded()) }

    /// `value` with a change at each place, one after the other.
    private static func changed(
        _ value: JSONValue,
        _ path: String = "",
        _ change: (JSONValue, String) -> [JSONValue]
    ) -> [(String, JSONValue)] {
        var results = change(value, path).map { (path, $0) }
        switch value {
        case .object(let members):
            for (index, member) in members.enumerated() {
                for (place, new) in changed(member.value, "\(path)/\(member.key)", change) {
                    var copy = members
                    copy[index] = .init(member.key, new)
                    results.append((place, .object(copy)))
                }
            }
        case .array(let values):
            for (index, element) in values.enumerated() {
                for (place, new) in changed(element, "\(path)/\(index)", change) {
                    var copy = values
                    copy[index] = new
                    results.append((place, .array(copy)))
                }
            }
        default: break
        }
        return results
    }

    private static func expectRefusal(_ changes: [(String, JSONValue)], least: Int) {
        for (place, value) in changes {
            #expect(throws: CatalogueError.self, "\(place)") { try read(value) }
        }
        #expect(changes.count >= least)
    }

    private static let document = Result { try JSONValue(parsing: small.utf8) }

    @Test func theSmallCatalogueIsRead() throws {
        let catalogue = try Self.read(Self.document.get())
        let connector = try #require(catalogue["x-1"])
        #expect(connector.fields.map(\.name) == ["port", "rip", "key", "u", "m"])
        #expect(connector.oauth?.parameters.map(\.name) == ["prompt"])
    }

    @Test func aMemberThatIsNotKnownIsRefused() throws {
        let changes = Self.changed(try Self.document.get()) { value, path in
            // There any name goes.
            guard case .object(let members) = value, !path.hasSuffix("/parameters") else { return [] }
            return [.object(members + [.init("unheard", "x")])]
        }
        Self.expectRefusal(changes, least: 30)
    }

    @Test func aMemberThatIsMissingOrRepeatedIsRefused() throws {
        let mayGo = ["pattern", "check", "default", "example"]
        let changes = Self.changed(try Self.document.get()) { value, path in
            guard case .object(let members) = value else { return [] }
            var results: [JSONValue] = []
            for index in members.indices {
                var without = members
                without.remove(at: index)
                if !path.hasSuffix("/parameters"), !mayGo.contains(members[index].key) {
                    results.append(.object(without))
                }
                results.append(.object(members + [members[index]]))
            }
            return results
        }
        Self.expectRefusal(changes, least: 100)
    }

    @Test func aValueOfAnotherKindIsRefused() throws {
        let changes = Self.changed(try Self.document.get()) { value, path in
            switch value {
            case .null: [.object([]), .array([.number("1")])]
            case .bool: ["true", .number("1")]
            // A life that is not published is null.
            case .number: ["1", .number("1.5")] + (path.hasSuffix("_seconds") ? [] : [.null])
            case .string: [.number("1"), .array([]), "", "a\u{7}b"]
            case .array: [.object([]), "x"]
            case .object: [.array([]), "x"]
            }
        }
        Self.expectRefusal(changes, least: 300)
    }

    @Test(arguments: [
        (#""format":1"#, #""format":2"#), (#""2026-11""#, #""November""#), (#""category":"c""#, #""category":"d""#),
        (#""confidence":"high""#, #""confidence":"certain""#), (#"["oauth1","q_two"]"#, #"["oauth1","q_three"]"#),
        (#"["oauth1","q_two"]"#, #"["q_two","oauth1"]"#), (#""example":6"#, #""example":10"#),
        (#""default":5"#, #""default":"5""#), (#""minimum":1"#, #""minimum":10"#),
        (#""example":"00799999002345678941""#, #""example":"00799999002345678940""#),
        (#""pattern":"^[0-9]+$""#, #""pattern":"^(?=[0-9])$""#), (#""pattern":"^[0-9]+$""#, #""pattern":"^[a-z]+$""#),
        (#""pem":["PRIVATE KEY"]"#, #""pem":["PRIVATE KEY"],"example":"x""#), (#""check":"rip""#, #""check":"luhn""#),
        (#""schemes":["https"]"#, #""schemes":["ftp"]"#), (#""schemes":["https"]"#, #""values":["https"]"#),
        (#""default":"a""#, #""default":"c""#), (#"["rip","key"]"#, #"["rip"]"#),
        (#"["rip","key"]"#, #"["rip","port"]"#),
        (#"["rip","key"]"#, #"["rip","rip"]"#), (#"{api}"#, #"{other}"#), (#"{api}"#, #"{api"#), (#"{api}"#, #"}api{"#),
        (#""https://a/d""#, #""http://a/d""#), (#""kind":"http","method":"GET""#, #""kind":"none","method":"GET""#),
        (#""signature_method":null"#, #""signature_method":"HMAC-SHA1""#), (#""id":"x-1""#, #""id":"X 1""#),
        (#""access_token_seconds":60"#, #""access_token_seconds":-60"#), (#""name":"u""#, #""name":"rip""#),
        (#"{"format""#, #"[{"format""#), (#""unknown":[{"#, #""unknown":[{}, {"#),
    ])
    func whatDoesNotFitIsRefused(part: String, other: String) throws {
        let text = Self.small.replacing(part, with: other, maxReplacements: 1)
        #expect(text != Self.small)
        #expect(throws: CatalogueError.self) { try Self.read(Array(text.utf8)) }
    }

    @Test func connectorsAreSortedAndThereOnce() throws {
        guard case .object(let members) = try Self.document.get(),
            let connector = members.last?.value.array?.first, case .object(let parts) = connector
        else { throw CatalogueError("test", "the small catalogue has another form") }
        let other = JSONValue.object([.init("id", "a-1")] + parts.dropFirst())
        let with = { (connectors: [JSONValue]) in
            JSONValue.object(members.dropLast() + [.init("connectors", .array(connectors))])
        }
        #expect(try Self.read(with([other, connector])).connectors.map(\.id) == ["a-1", "x-1"])
        #expect(throws: CatalogueError.self) { try Self.read(with([connector, other])) }
        #expect(throws: CatalogueError.self) { try Self.read(with([connector, connector])) }
    }

    @Test(arguments: 1...8)
    func changedBytesAreReadOrRefused(seed: Int) {
        var random = Seeded(UInt64(seed))
        let whole = Array(Self.small.utf8)
        var read = 0
        for _ in 0..<150 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes.remove(at: place)
                case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
                case 2: bytes.removeLast(min(bytes.count - 1, place % 64))
                default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                }
            }
            if let catalogue = try? Self.read(bytes) {
                read += 1
                #expect(catalogue.connectors.allSatisfy { (try? JSONValue(parsing: $0.formJSON)) != nil })
            }
        }
        #expect(read < 150)
    }
}
