internal import CoffreWire
internal import Glibc

/// PEM certificates as a path that libpq can open, for as long as the value lives. The file has no name of its own.
final class CertificateFile {
    /// The system's certificates on Debian; libpq 15 knows no `system`.
    static let systemPath = "/etc/ssl/certs/ca-certificates.crt"
    /// Where nothing is: no certificates.
    static let nonePath = "/nonexistent/coffre"

    private let descriptor: Int32
    let path: String

    /// - Parameters:
    ///   - certificates: PEM, or nil for `fallback`.
    ///   - fallback: the path to use then.
    /// - Throws: ``BrokerFailure`` `.unavailable` when the file cannot be written.
    init(_ certificates: [UInt8]?, fallback: String) throws(BrokerFailure) {
        guard let certificates else {
            descriptor = -1
            path = fallback
            return
        }
        var template = Array("/tmp/coffre-ca-XXXXXX".utf8CString)
        let file = mkstemp(&template)
        guard file >= 0 else { throw BrokerFailure(.unavailable) }
        unlink(template)
        _ = fcntl(file, F_SETFD, FD_CLOEXEC)
        descriptor = file
        path = "/proc/self/fd/\(file)"
        var written = 0
        while written < certificates.count {
            let count = certificates.withUnsafeBytes {
                write(file, $0.baseAddress?.advanced(by: written), $0.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw BrokerFailure(.unavailable) }
            written += count
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
