import CoffreWire
import Testing

/// Frames of jobs as tests make and read them.
enum BrokerJobBytes {
    static func encode(_ job: BrokerJob, _ password: String, _ login: String?) throws -> [UInt8] {
        let password = Array(password.utf8)
        let login = login.map { Array($0.utf8) }
        let size = job.encodedSize(adminPasswordBytes: password.count, loginPasswordBytes: login?.count)
        return try password.withUnsafeBytes { password in
            try (login ?? []).withUnsafeBytes { other in
                var bytes = [UInt8](repeating: 0xff, count: size)
                let count = try bytes.withUnsafeMutableBytes {
                    try job.encode(adminPassword: password, loginPassword: login == nil ? nil : other, into: $0)
                }
                #expect(count == size)
                return bytes
            }
        }
    }

    static func reencode(_ bytes: [UInt8]) throws -> [UInt8] {
        try bytes.withUnsafeBytes { bytes in
            let view = try BrokerJobView(decoding: bytes)
            var copy = [UInt8](repeating: 0, count: bytes.count)
            let count = try copy.withUnsafeMutableBytes {
                try view.job.encode(adminPassword: view.adminPassword, loginPassword: view.loginPassword, into: $0)
            }
            return Array(copy[..<count])
        }
    }
}
