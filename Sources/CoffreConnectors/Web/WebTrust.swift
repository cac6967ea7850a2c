package import CoffreWire
internal import NIOSSL

/// Which web and mail servers are believed, and from which TLS on. The broker's own choice, for all of them.
package struct WebTrust: Sendable {
    /// Its message names no path.
    package struct Failure: Error, Sendable {
        package let message: String
    }

    let configuration: TLSConfiguration

    /// - Parameters:
    ///   - minimumTLS: the oldest TLS that is accepted. Default 1.3.
    ///   - certificates: PEM certificates to trust instead of the system's; nil for those.
    /// - Throws: ``Failure`` when `certificates` hold none.
    package init(minimumTLS: BrokerJob.MinimumTLS = .tls13, certificates: [UInt8]? = nil) throws(Failure) {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = minimumTLS == .tls12 ? .tlsv12 : .tlsv13
        if let certificates {
            let found = try? NIOSSLCertificate.fromPEMBytes(certificates)
            guard let found, !found.isEmpty else {
                throw Failure(message: "is no PEM file with certificates")
            }
            configuration.trustRoots = .certificates(found)
        }
        self.configuration = configuration
    }
}
