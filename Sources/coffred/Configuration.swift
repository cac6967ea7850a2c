internal import CoffreHost
internal import Glibc

/// coffre.toml(5), checked. Every property has the default that stands in the file's documentation.
struct Configuration: Sendable {
    enum Seal: String, Sendable {
        case shamir
        case credential
    }

    /// Where the encrypted database lies: `$STATE_DIRECTORY`, else `/var/lib/coffre`.
    var stateDirectory = "/var/lib/coffre"
    /// The listening socket, ignored under socket activation.
    var socket = "/run/coffre/coffre.sock"
    /// Permission bits of the socket.
    var socketMode: UInt32 = 0o660
    /// Group of the socket; empty leaves it as it is.
    var socketGroup = "coffre-clients"
    var seal = Seal.shamir
    /// Name of the unseal key in `$CREDENTIALS_DIRECTORY`.
    var credential = "coffre.unseal"
    /// Uids besides 0 that may init, unseal and confirm a restore.
    var operators: [Int] = []
    var auditDirectory = "/var/lib/coffre-audit"
    /// Months that the log is kept.
    var retentionMonths = 24
    /// Why it is not 24.
    var retentionReason = ""
    /// Size at which a segment closes.
    var segmentBytes = 67_108_864
    /// Whether blocks of the log's segments are set aside.
    var preallocates = true
    /// Bytes kept for the day on which the log's disk is full.
    var reserveBytes = 67_108_864
    /// The log's name; empty means HOST/coffre.
    var origin = ""
    /// Files with the last heads of the log that a new one takes the place of.
    var continues: [String] = []
    var brokerSocket = "/run/coffre-broker/broker.sock"
    /// User that must be behind the broker's socket.
    var brokerUser = "coffre-broker"
    /// Who remembers the log's head outside of this host.
    var witness = WitnessSettings()
    /// Who is told when somebody behaves unlike itself.
    var anomaly = AnomalySettings()
    var logLevel = "info"

    /// - Parameter stateDirectory: `$STATE_DIRECTORY` when the service manager set it.
    /// - Throws: ``ConfigurationError``: unknown keys, values out of range, with the line.
    init(_ file: ConfigurationFile, stateDirectory fromEnvironment: String?) throws(ConfigurationError) {
        var file = file
        stateDirectory = try Self.path(&file, "state_directory") ?? fromEnvironment ?? stateDirectory
        socket = try Self.path(&file, "listener.socket") ?? socket
        if socket.utf8.count > 107 { throw file.error("listener.socket", "is longer than the 107 bytes of unix(7)") }
        if let mode = try file.text("listener.mode") {
            guard let bits = UInt32(mode, radix: 8), bits <= 0o777, bits & 0o007 == 0 else {
                throw file.error("listener.mode", "takes octal digits without rights for others, such as \"0660\"")
            }
            socketMode = bits
        }
        socketGroup = try file.text("listener.group") ?? socketGroup
        if let type = try file.text("seal.type") {
            guard let seal = Seal(rawValue: type) else {
                throw file.error("seal.type", "takes \"shamir\" or \"credential\"")
            }
            self.seal = seal
        }
        if let name = try file.text("seal.credential") {
            guard !name.isEmpty, !name.utf8.contains(0x2f), !name.hasPrefix(".") else {
                throw file.error("seal.credential", "takes the name of a credential, without slashes")
            }
            credential = name
        }
        operators = try file.integers("seal.operators") ?? operators
        for uid in operators where UInt32(exactly: uid) == nil || uid == Int(UInt32.max) {
            throw file.error("seal.operators", "takes user ids, such as [1000]")
        }
        auditDirectory = try Self.path(&file, "audit.directory") ?? auditDirectory
        retentionMonths = try file.integer("audit.retention_months", in: 6...36) ?? retentionMonths
        retentionReason = try file.text("audit.retention_reason") ?? retentionReason
        if retentionMonths != 24, retentionReason.isEmpty {
            throw file.error("audit.retention_months", "differs from 24: audit.retention_reason must say why")
        }
        segmentBytes = try file.integer("audit.segment_bytes", in: 65_536...1_073_741_824) ?? segmentBytes
        preallocates = try file.flag("audit.preallocate") ?? preallocates
        reserveBytes = try file.integer("audit.reserve_bytes", in: 1_048_576...1_073_741_824) ?? reserveBytes
        if let name = try file.text("audit.origin") {
            guard name.utf8.count <= 200, name.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x2b }) else {
                throw file.error(
                    "audit.origin",
                    "takes printable ASCII without spaces and plus signs, such as \"host.example/coffre\""
                )
            }
            origin = name
        }
        continues = try file.texts("audit.continues") ?? continues
        guard continues.count <= 2, continues.allSatisfy({ $0.hasPrefix("/") && !$0.utf8.contains(0) }) else {
            throw file.error("audit.continues", "takes one or two absolute paths of checkpoint notes, in a list")
        }
        brokerSocket = try Self.path(&file, "broker.socket") ?? brokerSocket
        brokerUser = try file.text("broker.user") ?? brokerUser
        witness = try WitnessSettings(&file)
        anomaly = try AnomalySettings(&file)
        if let level = try file.text("telemetry.log_level") {
            guard ["debug", "info", "notice", "warning", "error"].contains(level) else {
                throw file.error("telemetry.log_level", "takes debug, info, notice, warning or error")
            }
            logLevel = level
        }
        try file.finish()
    }

    /// The set-up of `--dev`: everything below one private folder.
    init(developmentIn folder: String, user: String) {
        stateDirectory = folder + "/state"
        auditDirectory = folder + "/audit"
        socket = folder + "/coffre.sock"
        socketMode = 0o600
        socketGroup = ""
        brokerSocket = folder + "/broker.sock"
        brokerUser = user
        origin = "dev/coffre"
        preallocates = false
        reserveBytes = 1_048_576
    }

    private static func path(_ file: inout ConfigurationFile, _ key: String) throws(ConfigurationError) -> String? {
        guard let path = try file.text(key) else { return nil }
        guard path.hasPrefix("/"), !path.utf8.contains(0), path.utf8.count < 4096 else {
            throw file.error(key, "takes an absolute path")
        }
        return path
    }
}
