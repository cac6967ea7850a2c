/// `NAME=PATH#FIELD`: one field of one secret, for one environment variable or file.
package struct SecretReference: Sendable, Equatable {
    /// Name of the variable.
    package let name: String
    /// Path of the secret, mount included.
    package let path: String
    /// Name of the field.
    package let field: String

    /// - Throws: ``ClientError`` with `.invalidInput`; says what to type.
    package init(parsing text: String) throws(ClientError) {
        let bytes = Substring(text).utf8
        guard let equals = bytes.firstIndex(of: 0x3d), let hash = bytes.lastIndex(of: 0x23), equals < hash else {
            throw ClientError(.invalidInput, "write it as NAME=PATH#FIELD, as in DB_PASSWORD=secret/app/db#password")
        }
        name = String(Substring(bytes[..<equals]))
        path = RequestPath.trimmed(String(Substring(bytes[bytes.index(after: equals)..<hash])))
        field = String(Substring(bytes[bytes.index(after: hash)...]))
        guard Self.isVariableName(name) else {
            throw ClientError(.invalidInput, "a variable is named by letters, digits and _, and starts with no digit")
        }
        guard !field.isEmpty else { throw ClientError(.invalidInput, "the field after # is missing") }
        _ = try RequestPath(path)
    }

    /// POSIX.1-2017 §8.1, with lower case allowed.
    private static func isVariableName(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(0x30...0x39).contains(first), name.utf8.count <= 255 else { return false }
        return name.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x5f
        }
    }
}
