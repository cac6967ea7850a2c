internal import CoffreAudit
internal import CoffreHost
internal import CoffreWire

/// `[witness]` of coffre.toml(5): who remembers the log's head outside of this host.
struct WitnessSettings: Sendable {
    /// How a message reaches the compliance officer.
    struct Mail: Sendable {
        let host: String
        let port: UInt16
        let security: BrokerMail.Security
        let from: String
        let recipients: [String]
        /// Name in `$CREDENTIALS_DIRECTORY` of `user:password`; nil sends without a login.
        let credential: String?
    }

    /// C2SP witnesses: key and submission prefix.
    var cosigners: [(key: CosignerKey, target: WebTarget)] = []
    /// RFC 3161 time-stamp authority.
    var stampAuthority: WebTarget?
    var webhook: WebTarget?
    var mail: Mail?
    /// Seconds between two submissions to a witness while the log grows.
    var intervalSeconds = 60
    /// Hours without contact before there is an alarm.
    var windowHours = 24

    /// Most witnesses.
    private static let mostCosigners = 8

    init() {}

    /// - Throws: ``ConfigurationError`` with the line.
    init(_ file: inout ConfigurationFile) throws(ConfigurationError) {
        cosigners = try Self.cosigners(&file)
        stampAuthority = try Self.target(&file, "witness.tsa")
        webhook = try Self.target(&file, "witness.webhook")
        mail = try Self.mail(&file)
        intervalSeconds = try file.integer("witness.interval_seconds", in: 1...86_400) ?? intervalSeconds
        windowHours = try file.integer("witness.window_hours", in: 1...8760) ?? windowHours
    }

    private static func cosigners(
        _ file: inout ConfigurationFile
    ) throws(ConfigurationError) -> [(key: CosignerKey, target: WebTarget)] {
        let key = "witness.cosigners"
        let entries = try file.texts(key) ?? []
        guard entries.count <= mostCosigners else { throw file.error(key, "takes at most \(mostCosigners) witnesses") }
        var result: [(key: CosignerKey, target: WebTarget)] = []
        for (index, entry) in entries.enumerated() {
            let words = entry.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            guard words.count == 2, let cosigner = CosignerKey(words[0]) else {
                throw file.error(
                    key,
                    "entry \(index + 1) takes the witness's key and URL: \"NAME+ID+BASE64 https://HOST/PREFIX\""
                )
            }
            guard !result.contains(where: { $0.key.name.utf8.elementsEqual(cosigner.name.utf8) }) else {
                throw file.error(key, "names \(cosigner.name) twice")
            }
            do throws(BrokerWireError) {
                result.append((cosigner, try WebTarget(words[1]).appending("add-checkpoint")))
            } catch {
                throw file.error(key, "entry \(index + 1) \(error.message)")
            }
        }
        return result
    }

    private static func target(
        _ file: inout ConfigurationFile,
        _ key: String
    ) throws(ConfigurationError) -> WebTarget? {
        guard let text = try file.text(key), !text.isEmpty else { return nil }
        do throws(BrokerWireError) { return try WebTarget(text) } catch { throw file.error(key, error.message) }
    }

    private static func mail(_ file: inout ConfigurationFile) throws(ConfigurationError) -> Mail? {
        let server = try file.text("witness.mail_server") ?? ""
        let from = try file.text("witness.mail_from") ?? ""
        let recipients = try file.texts("witness.mail_to") ?? []
        let credential = try file.text("witness.mail_credential") ?? ""
        guard !server.isEmpty else {
            guard from.isEmpty, recipients.isEmpty, credential.isEmpty else {
                throw file.error("witness.mail_server", "is missing: say smtps://HOST or smtp://HOST")
            }
            return nil
        }
        let key = "witness.mail_server"
        let security: BrokerMail.Security = server.hasPrefix("smtps://") ? .implicit : .startTLS
        let scheme = security == .implicit ? "smtps://" : "smtp://"
        guard server.hasPrefix(scheme) else { throw file.error(key, "takes smtps://HOST[:PORT] or smtp://HOST[:PORT]") }
        let place: WebTarget
        do throws(BrokerWireError) { place = try WebTarget("https://" + server.dropFirst(scheme.utf8.count)) } catch {
            throw file.error(key, "takes smtps://HOST[:PORT] or smtp://HOST[:PORT]")
        }
        guard place.path == "/" else { throw file.error(key, "takes no path") }
        guard BrokerMail.isAddress(from) else { throw file.error("witness.mail_from", "takes an address") }
        guard (1...BrokerMail.Limit.recipients).contains(recipients.count),
            recipients.allSatisfy(BrokerMail.isAddress)
        else { throw file.error("witness.mail_to", "takes 1 to 16 addresses in a list") }
        guard !credential.utf8.contains(0x2f), !credential.hasPrefix(".") else {
            throw file.error("witness.mail_credential", "takes the name of a credential, without slashes")
        }
        let isDefault = !server.dropFirst(scheme.utf8.count).contains(":")
        return Mail(
            host: place.host,
            port: isDefault ? (security == .implicit ? 465 : 587) : place.port,
            security: security,
            from: from,
            recipients: recipients,
            credential: credential.isEmpty ? nil : credential
        )
    }
}
