import CoffreHost
import Foundation
import Testing

struct ListeningSocketTests {
    private func withDirectory<R>(_ body: (String) throws -> R) throws -> R {
        let directory = NSTemporaryDirectory() + "/coffre-listen-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        return try body(directory)
    }

    private func mode(_ path: String) -> UInt32 {
        var file = stat()
        return lstat(path, &file) == 0 ? file.st_mode & 0o7777 : 0
    }

    @Test(arguments: [UInt32(0o600), 0o660, 0o666])
    func theFileHasItsModeAndGroup(wanted: UInt32) throws {
        try withDirectory { directory in
            let socket = try ListeningSocket(path: "\(directory)/s", mode: wanted, group: getgid())
            #expect(mode("\(directory)/s") == wanted)
            close(socket.release().descriptor)
        }
    }

    @Test
    func aSocketInUseIsNotTakenOver() throws {
        try withDirectory { directory in
            let first = try ListeningSocket(path: "\(directory)/s").release()
            defer { close(first.descriptor) }
            let error = #expect(throws: HostError.self) { _ = try ListeningSocket(path: "\(directory)/s").release() }
            #expect(error?.code == .alreadyListening)
            #expect(access("\(directory)/s", F_OK) == 0)
        }
    }

    @Test
    func aStaleSocketIsReplaced() throws {
        try withDirectory { directory in
            close(try ListeningSocket(path: "\(directory)/s").release().descriptor)
            #expect(access("\(directory)/s", F_OK) == 0)
            let second = try ListeningSocket(path: "\(directory)/s").release()
            #expect(second.descriptor >= 0)
            close(second.descriptor)
        }
    }

    @Test
    func aFileThatIsNoSocketIsLeftAlone() throws {
        try withDirectory { directory in
            try "precious".write(toFile: "\(directory)/s", atomically: true, encoding: .utf8)
            let error = #expect(throws: HostError.self) { _ = try ListeningSocket(path: "\(directory)/s").release() }
            #expect(error?.code == .wrongKind)
            #expect(try String(contentsOfFile: "\(directory)/s", encoding: .utf8) == "precious")
        }
    }

    @Test
    func aSymbolicLinkIsNotFollowed() throws {
        try withDirectory { directory in
            close(try ListeningSocket(path: "\(directory)/s").release().descriptor)
            symlink("\(directory)/s", "\(directory)/link")
            let error = #expect(throws: HostError.self) { _ = try ListeningSocket(path: "\(directory)/link").release() }
            #expect(error?.code == .wrongKind)
        }
    }

    @Test(arguments: ["", String(repeating: "x", count: 108), "/tmp/a\u{0}b"])
    func aPathThatDoesNotFitIsRefused(path: String) {
        let error = #expect(throws: HostError.self) { _ = try ListeningSocket(path: path).release() }
        #expect(error?.code == .tooLarge)
    }

    @Test
    func theFileOfAnotherSocketIsNotRemoved() throws {
        try withDirectory { directory in
            let first = try ListeningSocket(path: "\(directory)/s").release()
            close(first.descriptor)
            let second = try ListeningSocket(path: "\(directory)/s").release()
            defer { close(second.descriptor) }
            // A replaced file may get the number of the one before; a regular file in between makes it differ.
            rename("\(directory)/s", "\(directory)/kept")
            try "other".write(toFile: "\(directory)/s", atomically: false, encoding: .utf8)
            second.file?.remove()
            #expect(access("\(directory)/s", F_OK) == 0)
        }
    }

    @Test
    func anAdoptedSocketMustListen() throws {
        let plain = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let datagram = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        let network = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        listen(network, 1)
        for descriptor in [plain, datagram, network] {
            let error = #expect(throws: HostError.self) { _ = try ListeningSocket(adopting: descriptor).release() }
            #expect(error?.code == .wrongKind)
            close(descriptor)
        }
        try withDirectory { directory in
            let bound = try ListeningSocket(path: "\(directory)/s").release()
            let adopted = try ListeningSocket(adopting: bound.descriptor).release()
            #expect(adopted.descriptor == bound.descriptor)
            #expect(adopted.file == nil)
            close(adopted.descriptor)
        }
    }
}
