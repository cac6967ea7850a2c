import CoffreWire
import Glibc

extension ConnectorField {
    /// Longest value, in bytes.
    package static let maximumValueBytes = 65_536

    /// What is wrong with `value`, which is not empty.
    func problem(with value: JSONView) -> FieldProblem? {
        switch kind {
        case .integer: return integerProblem(value)
        case .boolean: return booleanProblem(value)
        default: break
        }
        guard let count = value.stringCount else { return .kind("takes text", "attend du texte") }
        guard count <= Self.maximumValueBytes else { return .kind("is longer than 64 KiB", "dépasse 64 Kio") }
        return Self.withText(value, count) { textProblem($0) }
    }

    /// Lends the decoded string, and wipes the copy.
    static func withText<Result>(
        _ value: JSONView,
        _ count: Int,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        withUnsafeTemporaryAllocation(byteCount: max(count, 1), alignment: 1) { memory in
            defer { if let start = memory.baseAddress { explicit_bzero(start, memory.count) } }
            let text = UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
            value.decodeString(into: text)
            return body(UnsafeRawBufferPointer(text))
        }
    }

    private func integerProblem(_ value: JSONView) -> FieldProblem? {
        let number: Int64?
        if let count = value.stringCount {
            number = count > 20 ? nil : Self.withText(value, count) { ValueForm.integer($0) }
        } else {
            number = value.integer
        }
        guard let number, let range, range.contains(number) else {
            let (least, most) = (range?.lowerBound ?? 0, range?.upperBound ?? 0)
            return .kind(
                "takes a whole number from \(least) to \(most)",
                "attend un nombre entier de \(least) à \(most)"
            )
        }
        return nil
    }

    private func booleanProblem(_ value: JSONView) -> FieldProblem? {
        if value.bool != nil || value.string == "true" || value.string == "false" { return nil }
        return .kind("takes true or false", "attend true ou false")
    }

    private func textProblem(_ text: UnsafeRawBufferPointer) -> FieldProblem? {
        if let problem = kindProblem(text) { return problem }
        if let problem = checkProblem(text) { return problem }
        guard let pattern, !pattern.matches(text) else { return nil }
        if text.count > FieldPattern.maximumInputBytes {
            return .form(certainty, "is longer than values of its form", "dépasse les valeurs de sa forme")
        }
        guard let example = example?.string else {
            return .form(certainty, "does not have the usual form", "n'a pas la forme habituelle")
        }
        return .form(
            certainty,
            "does not have the usual form, as in \(example)",
            "n'a pas la forme habituelle, par exemple \(example)"
        )
    }

    private func kindProblem(_ text: UnsafeRawBufferPointer) -> FieldProblem? {
        switch kind {
        case .choice:
            guard !values.contains(where: { text.elementsEqual($0.utf8) }) else { return nil }
            let list = values.joined(separator: ", ")
            return .kind("takes one of \(list)", "attend une valeur parmi \(list)")
        case .pem:
            guard !ValueForm.isPEM(text, labels: pemLabels) else { return nil }
            let label = pemLabels[0]
            return .kind(
                "takes PEM, from -----BEGIN \(label)----- to -----END \(label)-----",
                "attend du PEM, de -----BEGIN \(label)----- à -----END \(label)-----"
            )
        case .json:
            return ValueForm.isJSONObject(text) ? nil : .kind("takes a JSON object", "attend un objet JSON")
        case .url: return addressProblem(text)
        case .email:
            return ValueForm.isEmail(text) ? nil : .kind("takes an e-mail address", "attend une adresse e-mail")
        case .host:
            return ValueForm.isHost(text)
                ? nil
                : .kind(
                    "takes a host name or an address, without port",
                    "attend un nom d'hôte ou une adresse, sans port"
                )
        case .string, .integer, .boolean: return nil
        }
    }

    private func addressProblem(_ text: UnsafeRawBufferPointer) -> FieldProblem? {
        switch ValueForm.defect(ofAddress: text, schemes: schemes) {
        case nil: return nil
        case .userInformation:
            return .kind(
                "takes an address without user or password",
                "attend une adresse sans utilisateur ni mot de passe"
            )
        case .scheme, .form:
            let begins = schemes.map { $0 + "://" }
            return .kind(
                "takes an address that begins with \(begins.joined(separator: " or "))",
                "attend une adresse qui commence par \(begins.joined(separator: " ou "))"
            )
        }
    }

    private func checkProblem(_ text: UnsafeRawBufferPointer) -> FieldProblem? {
        switch check {
        case nil, .postalKey: return nil
        case .relativePath:
            guard !ValueForm.isRelativePath(text) else { return nil }
            return .form(
                certainty,
                "takes a path below the allowed folder, without ..",
                "attend un chemin sous le dossier autorisé, sans .."
            )
        case .rip:
            switch PostalAccount.defect(of: text) {
            case nil: return nil
            case .length: return .form(certainty, "takes 20 digits", "attend 20 chiffres")
            case .prefix: return .form(certainty, "must begin with 00799999", "doit commencer par 00799999")
            case .key:
                return .form(
                    certainty,
                    "has a key that does not fit its account",
                    "a une clé qui n'est pas celle du compte"
                )
            }
        }
    }
}
