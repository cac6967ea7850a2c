import ArgumentParser
import CoffreWire

/// What `kv put` and `write` send, from arguments that name where values are, not what they are.
enum DataArguments {
    /// What may stand in the arguments themselves.
    enum Literals {
        /// Nothing: every value counts as secret.
        case refused
        /// Configuration, but no member whose name or form says that it is secret.
        case ifHarmless
        /// Anything, on the caller's own responsibility.
        case accepted
    }

    /// A JSON object as text.
    ///
    /// `@FILE` or `-` alone is a whole object, kept byte for byte. Otherwise each argument is `NAME=@FILE`, `NAME=-`
    /// or, if `literals` allows it, `NAME=TEXT`; values become strings, without change (a final line feed stays).
    static func object(_ arguments: [String], literals: Literals, console: Console) throws -> [UInt8] {
        if arguments.count == 1, let only = arguments.first, only == "-" || only.utf8.first == 0x40 {
            return try whole(only)
        }
        var members: [JSONValue.Member] = []
        for argument in arguments {
            let bytes = Substring(argument).utf8
            guard let equals = bytes.firstIndex(of: 0x3d), equals != bytes.startIndex else { throw malformed }
            let name = String(Substring(bytes[..<equals]))
            guard !members.contains(where: { $0.key.utf8.elementsEqual(name.utf8) }) else {
                throw Failure("\(name) is given twice", "\(name) est donné deux fois", .usage)
            }
            let source = String(Substring(bytes[bytes.index(after: equals)...]))
            members.append(.init(name, .string(try value(of: name, source, literals, console))))
        }
        return JSONValue.object(members).encoded()
    }

    private static func whole(_ argument: String) throws -> [UInt8] {
        let path = argument == "-" ? "-" : String(argument.dropFirst())
        let bytes = try Input.file(path, for: argument)
        do {
            guard try JSONValue(parsing: bytes).members != nil else {
                throw Failure("\(path) must hold a JSON object", "\(path) doit contenir un objet JSON", .usage)
            }
        } catch let error as JSONError {
            throw Failure("\(path): \(error.message)", "\(path) : JSON invalide (\(error.message))", .usage)
        }
        return bytes
    }

    private static func value(
        of name: String,
        _ source: String,
        _ literals: Literals,
        _ console: Console
    ) throws -> String {
        if source == "-" && Input.isTerminal { return try Input.prompt(name) }
        guard source == "-" || source.utf8.first == 0x40 else {
            return try literal(of: name, source, literals)
        }
        let path = source == "-" ? "-" : String(source.dropFirst())
        let bytes = try Input.file(path, for: "\(name)=\(source)")
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Failure(
                "the value of \(name) is not UTF-8: encode it first, with base64 for example",
                "la valeur de \(name) n'est pas en UTF-8 : encodez-la d'abord, par exemple en base64"
            )
        }
        if bytes.last == 0x0a {
            console.note(
                Message(
                    "note: the value of \(name) ends with a line feed, which is kept",
                    "note : la valeur de \(name) finit par un saut de ligne, qui est conservé"
                )
            )
        }
        return text
    }

    private static func literal(of name: String, _ source: String, _ literals: Literals) throws -> String {
        let isRefused =
            switch literals {
            case .accepted: false
            case .refused: true
            case .ifHarmless:
                (looksSecret(name) && !["true", "false", ""].contains(source)) || hasPasswordInURL(source)
            }
        guard !isRefused else {
            throw Failure(
                """
                the value of \(name) would be visible to every process of this machine (ps, /proc). Type instead
                  \(name)=-        to be asked for it, or to pipe it in
                  \(name)=@FILE    to read it from a file
                or add --insecure-argv if it is no secret
                """,
                """
                la valeur de \(name) serait visible de tous les processus de la machine (ps, /proc). Tapez plutôt
                  \(name)=-          pour la saisir, ou la recevoir d'un tube
                  \(name)=@FICHIER   pour la lire dans un fichier
                ou ajoutez --insecure-argv si elle n'est pas secrète
                """,
                .usage
            )
        }
        // A leading backslash protects a literal @ or -.
        return source.utf8.first == 0x5c ? String(source.dropFirst()) : source
    }

    /// Whether a member of this name usually holds a secret.
    static func looksSecret(_ name: String) -> Bool {
        let name = name.lowercased()
        if name.hasPrefix("public") { return false }
        let words: Set = [
            "password", "passwd", "passphrase", "pass", "secret", "token", "key", "apikey", "credential", "credentials",
            "pem", "pem_bundle", "secret_id", "private",
        ]
        return words.contains(name)
            || ["_password", "_passphrase", "_secret", "_token", "_key", "_credentials", "_secret_id"]
                .contains { name.hasSuffix($0) }
    }

    /// `scheme://user:password@…`, unless the password is a template such as `{{password}}`.
    static func hasPasswordInURL(_ text: String) -> Bool {
        guard let scheme = text.firstRange(of: "://") else { return false }
        let authority = text[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard let at = authority.lastIndex(of: "@"), let colon = authority[..<at].firstIndex(of: ":") else {
            return false
        }
        let password = authority[authority.index(after: colon)..<at]
        return !password.isEmpty && !password.hasPrefix("{{")
    }

    private static var malformed: Failure {
        // An argument may be a secret that was typed in the wrong place: it is not repeated.
        Failure(
            "give data as NAME=-, NAME=@FILE, or one @FILE or - that holds a whole JSON object",
            "donnez les données sous la forme NOM=-, NOM=@FICHIER, ou un seul @FICHIER ou - contenant un objet JSON",
            .usage
        )
    }
}
