/// The language of what is printed for people; help stays in English.
enum Language: String, CaseIterable, Sendable {
    case english = "en"
    case french = "fr"

    /// The first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is not empty decides (POSIX.1-2017 §8.2).
    static func preferred(_ environment: (String) -> String?) -> Language {
        for name in ["LC_ALL", "LC_MESSAGES", "LANG"] {
            guard let value = environment(name), !value.isEmpty else { continue }
            return value.utf8.starts(with: "fr".utf8) ? .french : .english
        }
        return .english
    }
}

/// A sentence in each language.
struct Message: Sendable {
    let english: String
    let french: String

    init(_ english: String, _ french: String) {
        self.english = english
        self.french = french
    }

    func text(_ language: Language) -> String {
        switch language {
        case .english: english
        case .french: french
        }
    }
}

/// What a command ends with. The same table stands in `coffre --help` and in coffre(1).
enum ExitStatus: Int32, Sendable {
    case success = 0
    case error = 1
    case sealed = 2
    case denied = 3
    case notFound = 4
    case auditFailed = 5
    case usage = 64
    case unavailable = 69
    case cannotExecute = 126
    case commandNotFound = 127
    case interrupted = 130
}

/// A failure with its sentence and exit status.
struct Failure: Error, Sendable {
    let message: Message
    let status: ExitStatus

    init(_ message: Message, _ status: ExitStatus = .error) {
        self.message = message
        self.status = status
    }

    init(_ english: String, _ french: String, _ status: ExitStatus = .error) {
        self.init(Message(english, french), status)
    }
}
