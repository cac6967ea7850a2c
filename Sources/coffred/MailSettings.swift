internal import CoffreHost
internal import CoffreWire

/// How messages reach people: `mail_server`, `mail_from`, `mail_to` and `mail_credential` of a table of coffre.toml(5).
struct MailSettings: Sendable {
    let host: String
    let port: UInt16
    let security: BrokerMail.Security
    let from: String
    let recipients: [String]
    /// Name in `$CREDENTIALS_DIRECTORY` of `user:password`; nil sends without a login.
    let credential: String?

    /// Nil when the table names no server.
    /// - Throws: ``ConfigurationError`` with the line.
    init?(_ file: inout ConfigurationFile, _ table: String) throws(ConfigurationError) {
        let key = table + ".mail_server"
        let server = try file.text(key) ?? ""
        let from = try file.text(table + ".mail_from") ?? ""
        let recipients = try file.texts(table + ".mail_to") ?? []
        let credential = try file.text(table + ".mail_credential") ?? ""
        guard !server.isEmpty else {
            guard from.isEmpty, recipients.isEmpty, credential.isEmpty else {
                throw file.error(key, "is missing: say smtps://HOST or smtp://HOST")
            }
            return nil
        }
        let security: BrokerMail.Security = server.hasPrefix("smtps://") ? .implicit : .startTLS
        let scheme = security == .implicit ? "smtps://" : "smtp://"
        guard server.hasPrefix(scheme) else { throw file.error(key, "takes smtps://HOST[:PORT] or smtp://HOST[:PORT]") }
        let place: WebTarget
        do throws(BrokerWireError) { place = try WebTarget("https://" + server.dropFirst(scheme.utf8.count)) } catch {
            throw file.error(key, "takes smtps://HOST[:PORT] or smtp://HOST[:PORT]")
        }
        guard place.path == "/" else { throw file.error(key, "takes no path") }
        guard BrokerMail.isAddress(from) else { throw file.error(table + ".mail_from", "takes an address") }
        guard (1...BrokerMail.Limit.recipients).contains(recipients.count),
            recipients.allSatisfy(BrokerMail.isAddress)
        else { throw file.error(table + ".mail_to", "takes 1 to 16 addresses in a list") }
        guard !credential.utf8.contains(0x2f), !credential.hasPrefix(".") else {
            throw file.error(table + ".mail_credential", "takes the name of a credential, without slashes")
        }
        let isDefault = !server.dropFirst(scheme.utf8.count).contains(":")
        host = place.host
        port = isDefault ? (security == .implicit ? 465 : 587) : place.port
        self.security = security
        self.from = from
        self.recipients = recipients
        self.credential = credential.isEmpty ? nil : credential
    }
}

extension ConfigurationFile {
    /// A URL; nil when it is absent or empty.
    /// - Throws: ``ConfigurationError`` with the line.
    mutating func target(_ key: String) throws(ConfigurationError) -> WebTarget? {
        guard let text = try text(key), !text.isEmpty else { return nil }
        do throws(BrokerWireError) { return try WebTarget(text) } catch { throw self.error(key, error.message) }
    }
}
