internal import CoffreAudit
internal import CoffreHost
internal import CoffreWire

/// `[witness]` of coffre.toml(5): who remembers the log's head outside of this host.
struct WitnessSettings: Sendable {
    /// C2SP witnesses: key and submission prefix.
    var cosigners: [(key: CosignerKey, target: WebTarget)] = []
    /// RFC 3161 time-stamp authority.
    var stampAuthority: WebTarget?
    var webhook: WebTarget?
    var mail: MailSettings?
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
        stampAuthority = try file.target("witness.tsa")
        webhook = try file.target("witness.webhook")
        mail = try MailSettings(&file, "witness")
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
}
