package import CoffreCrypto
package import CoffreWire

/// How passwords are made: `length = 20  rule "charset" { charset = "abc…" min-chars = 1 }`.
package struct PasswordPolicy: Sendable {
    private struct Rule {
        let characters: [Unicode.Scalar]
        let minimum: Int

        func fits(_ password: UnsafeMutableBufferPointer<UInt32>) -> Bool {
            minimum == 0 || password.count { value in characters.contains { $0.value == value } } >= minimum
        }
    }

    /// Largest accepted text in bytes.
    package static let maximumBytes = 32_768

    /// As it was written.
    package let text: String
    /// Characters, 4 to 100.
    package let length: Int
    private let rules: [Rule]
    // The characters of all rules, each once.
    private let characters: [Unicode.Scalar]

    /// Parses HCL or JSON.
    /// - Throws: ``PolicyError``.
    package init(text: String) throws(PolicyError) {
        guard text.utf8.count <= Self.maximumBytes else { throw PolicyError("a password policy has at most 32 KiB") }
        guard case .object(let members) = try PolicyNode(parsing: text) else {
            throw PolicyError("a password policy has length and rule")
        }
        var length: Int?
        var rules: [Rule] = []
        for member in members {
            let line = member.line > 0 ? member.line : nil
            switch member.key {
            case "length":
                guard case .literal(let digits) = member.value, let number = Int(digits) else {
                    throw PolicyError("length is a whole number", line: line)
                }
                length = number
            case "rule": try Self.append(member.value, line: line, to: &rules)
            default: throw PolicyError("invalid key \"\(member.key)\": there are length and rule", line: line)
            }
        }
        guard let length, (4...100).contains(length) else {
            throw PolicyError("passwords must be between 4 and 100 characters: set length")
        }
        let needed = rules.reduce(0) { $0 + $1.minimum }
        guard needed <= length else {
            throw PolicyError("the rules require at least \(needed) characters but length is \(length)")
        }
        let characters = Set(rules.flatMap(\.characters)).sorted()
        guard !characters.isEmpty else { throw PolicyError("no charset specified") }
        guard characters.count <= 256 else { throw PolicyError("at most 256 different characters") }
        self.text = text
        self.length = length
        self.rules = rules
        self.characters = characters
    }

    private static func append(_ node: PolicyNode, line: Int?, to rules: inout [Rule]) throws(PolicyError) {
        switch node {
        case .list(let nodes): for node in nodes { try append(node, line: line, to: &rules) }
        case .object(let kinds):
            for kind in kinds {
                guard kind.key == "charset" else {
                    throw PolicyError("there is no rule \"\(kind.key)\": the only one is charset", line: line)
                }
                let bodies: [PolicyNode]
                if case .list(let several) = kind.value { bodies = several } else { bodies = [kind.value] }
                for body in bodies { rules.append(try rule(body, line: line)) }
            }
        default: throw PolicyError("rule is followed by \"charset\" and a block", line: line)
        }
    }

    private static func rule(_ node: PolicyNode, line: Int?) throws(PolicyError) -> Rule {
        guard case .object(let members) = node else {
            throw PolicyError("rule \"charset\" is followed by a block", line: line)
        }
        var characters: [Unicode.Scalar] = []
        var minimum = 0
        for member in members {
            switch (member.key, member.value) {
            case ("charset", .string(let text)): characters = Array(text.unicodeScalars)
            case ("min-chars", .literal(let digits)):
                guard let number = Int(digits), (0...100).contains(number) else {
                    throw PolicyError("min-chars is a whole number from 0 to 100", line: line)
                }
                minimum = number
            default: throw PolicyError("a charset rule has charset = \"…\" and min-chars = 1", line: line)
            }
        }
        guard !characters.isEmpty else { throw PolicyError("a charset is empty", line: line) }
        guard characters.allSatisfy(isPrintable) else {
            throw PolicyError("non-printable character in charset", line: line)
        }
        return Rule(characters: Set(characters).sorted(), minimum: minimum)
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }

    /// A new password, uniform among all that fit.
    ///
    /// Passwords are drawn until one fits. A policy that is so demanding that a hundred do not gets one that is put
    /// together: each rule's minimum from its own characters, the rest from all of them, shuffled.
    package func generate() -> SharedSecret {
        let scalars = SecretBytes(count: length * MemoryLayout<UInt32>.size) { memory in
            let password = memory.bindMemory(to: UInt32.self)
            for _ in 0..<100 {
                for index in password.indices { password[index] = Self.pick(characters) }
                if rules.allSatisfy({ $0.fits(password) }) { return }
            }
            compose(password)
        }
        return scalars.withBytes { memory in
            let password = memory.bindMemory(to: UInt32.self)
            let encoded = password.lazy.compactMap { Unicode.Scalar($0) }.compactMap { Unicode.UTF8.encode($0) }
            let count = encoded.reduce(0) { $0 + $1.count }
            return SharedSecret(
                SecretBytes(count: count) { target in
                    var position = 0
                    for scalar in encoded {
                        for byte in scalar {
                            target[position] = byte
                            position += 1
                        }
                    }
                }
            )
        }
    }

    private func compose(_ password: UnsafeMutableBufferPointer<UInt32>) {
        var position = 0
        for rule in rules {
            for _ in 0..<rule.minimum {
                password[position] = Self.pick(rule.characters)
                position += 1
            }
        }
        for index in position..<password.count { password[index] = Self.pick(characters) }
        for index in stride(from: password.count - 1, to: 0, by: -1) {
            password.swapAt(index, Int(Random.number(below: UInt32(index + 1))))
        }
    }

    private static func pick(_ characters: [Unicode.Scalar]) -> UInt32 {
        characters[Int(Random.number(below: UInt32(characters.count)))].value
    }
}
