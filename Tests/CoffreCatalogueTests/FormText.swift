import CoffreCatalogue
import CoffreWire
import Testing

extension Connector {
    /// What ``check(_:isWhole:)`` says about a form in JSON.
    func check(_ text: String, isWhole: Bool = true) throws -> [FieldFinding] {
        try Array(text.utf8).withUnsafeBytes { bytes in
            try check(JSONView(bytes), isWhole: isWhole)
        }
    }

    /// What it says about one field alone.
    func check(_ name: String, _ value: JSONValue) throws -> [FieldFinding] {
        try check(String(decoding: JSONValue.object([.init(name, value)]).encoded(), as: UTF8.self), isWhole: false)
    }
}

extension Catalogue {
    /// The connector with this id; its absence ends the test.
    static func connector(_ id: String) throws -> Connector { try #require(shared[id]) }
}

extension Connector: CustomTestStringConvertible {
    package var testDescription: String { id }
}

/// Random numbers that are the same in every run.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}
