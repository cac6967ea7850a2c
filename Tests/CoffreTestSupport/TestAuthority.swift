import Foundation

/// A certificate authority for one test, with a server's certificate for 127.0.0.1 and localhost, one for time
/// stamps, and a client's.
package struct TestAuthority: Sendable {
    private let folder: TestFolder
    /// PEM file of the authority's certificate.
    package var certificate: String { folder.file("ca.pem") }
    /// PEM file with a server's certificate and key.
    package var server: String { folder.file("server.pem") }
    /// PEM files of a client's certificate and its key.
    package var client: (certificate: String, key: String) { (folder.file("client.crt"), folder.file("client.key")) }
    package var path: String { folder.path }

    /// - Parameter hosts: more names of the server.
    package init(hosts: [String] = []) throws {
        folder = try TestFolder("ca")
        let path = folder.path
        let names = hosts.map { ",DNS:" + $0 }.joined()
        _ = try folder.write(
            "make.sh",
            """
            set -eu
            cd "$1"
            openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=Test authority" 2>&1
            sign() {
                openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>&1
                printf '%s\\n' "$2" > "$1.ext"
                openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" \
                    -out "$1.crt" 2>&1
            }
            sign server "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:login.salesforce.com\(names)"
            sign tsa "extendedKeyUsage=critical,timeStamping"
            sign client "extendedKeyUsage=clientAuth"
            cat server.crt server.key > server.pem
            echo 01 > serial
            cat > tsa.cnf <<END
            [tsa]
            default_tsa = one
            [one]
            serial = $1/serial
            signer_cert = $1/tsa.crt
            certs = $1/ca.pem
            signer_key = $1/tsa.key
            signer_digest = sha256
            default_policy = 1.2.3.4.1
            digests = sha256
            ess_cert_id_alg = sha256
            END
            """
        )
        let (status, output) = try RunningProcess.run("/bin/sh", [folder.file("make.sh"), path])
        guard status == 0 else { throw RunningProcess.Failure(description: "test authority: \(output)") }
    }
}
