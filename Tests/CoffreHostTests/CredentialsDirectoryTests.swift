import CoffreHost
import Foundation
import Testing

struct CredentialsDirectoryTests {
    private func withDirectory<R>(_ body: (String) throws -> R) throws -> R {
        let directory = NSTemporaryDirectory() + "/coffre-cred-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        return try body(directory)
    }

    @Test(arguments: [0, 1, 32, 4096, CredentialsDirectory.maximumBytes])
    func lendsExactlyTheBytes(count: Int) throws {
        try withDirectory { directory in
            let content = Data((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) })
            try content.write(to: URL(fileURLWithPath: "\(directory)/coffre.unseal"))
            let credentials = CredentialsDirectory(path: directory)
            #expect(credentials.contains("coffre.unseal"))
            let isSame = try credentials.withCredential(named: "coffre.unseal") { Data($0) == content }
            #expect(isSame)
        }
    }

    @Test
    func oneByteTooManyIsRefused() throws {
        try withDirectory { directory in
            try Data(count: CredentialsDirectory.maximumBytes + 1).write(to: URL(fileURLWithPath: "\(directory)/big"))
            let error = #expect(throws: HostError.self) {
                try CredentialsDirectory(path: directory).withCredential(named: "big") { $0.count }
            }
            #expect(error?.code == .tooLarge)
        }
    }

    @Test(arguments: ["", ".", "..", "a/b", "../secret", "a\u{0}b", "missing"])
    func namesThatAreNotThereAreNotFound(name: String) throws {
        try withDirectory { directory in
            try Data([1]).write(to: URL(fileURLWithPath: "\(directory)/a"))
            let credentials = CredentialsDirectory(path: directory)
            #expect(!credentials.contains(name))
            let error = #expect(throws: HostError.self) { try credentials.withCredential(named: name) { $0.count } }
            #expect(error?.code == .notFound)
        }
    }

    @Test
    func linksFoldersAndPipesAreRefused() throws {
        try withDirectory { directory in
            symlink("/etc/passwd", "\(directory)/link")
            mkdir("\(directory)/folder", 0o700)
            mkfifo("\(directory)/pipe", 0o600)
            for name in ["link", "folder", "pipe"] {
                #expect(throws: HostError.self) {
                    try CredentialsDirectory(path: directory).withCredential(named: name) { $0.count }
                }
            }
        }
    }
}
