import CoffreAudit

extension LogPlace {
    /// Tells a wrong path from a damaged log: a wrong path is wrong usage, and no verification.
    /// - Throws: ``Failure``, exit status 64, when this is not the folder of a log.
    func require(_ path: String) throws(Failure) {
        let name = escapedForTerminal(path)
        let message: Message
        switch self {
        case .log: return
        case .noLog: message = Message("there is no audit log in \(name)", "aucun journal d'audit dans \(name)")
        case .nothing:
            message = Message(
                "there is no audit log in \(name): it does not exist",
                "aucun journal d'audit dans \(name) : ce chemin n'existe pas"
            )
        case .bundle:
            message = Message(
                "\(name) is a proof bundle: check it with the verify.py that lies in it",
                "\(name) est un lot de preuve : vérifiez-le avec le verify.py qu'il contient"
            )
        case .otherFile:
            message = Message(
                "\(name) is not a folder, and not a bundle of Coffre",
                "\(name) n'est ni un dossier, ni un lot de preuve Coffre"
            )
        }
        throw Failure(message, .usage)
    }
}

extension Input {
    /// The content of `log.vkey` as the reader's own copy has it.
    /// - Parameter path: as given to `--trust`.
    /// - Throws: ``Failure``: it cannot be read, or (exit status 64) it is no copy of `log.vkey`.
    static func trustedKeys(_ path: String) throws -> [UInt8] {
        let copy = try file(path, for: "--trust")
        let name = escapedForTerminal(path)
        do throws(TrustedKeys.Defect) {
            return try TrustedKeys.parse(copy)
        } catch .missing(let missing) {
            let key = escapedForTerminal(missing)
            throw Failure(
                "--trust: \(name) lacks the key of \(key); it must hold both lines of log.vkey",
                "--trust : il manque à \(name) la clé de \(key) ; il faut les deux lignes de log.vkey",
                .usage
            )
        } catch {
            throw Failure(
                "--trust: \(name) is not a copy of a log's log.vkey (two public keys)",
                "--trust : \(name) n'est pas une copie du log.vkey d'un journal (deux clés publiques)",
                .usage
            )
        }
    }
}
