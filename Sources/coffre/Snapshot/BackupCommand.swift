import ArgumentParser
import CoffreClient
import CoffreWire
import Glibc
import Synchronization

extension OperatorCommand {
    struct Backup: CoffreCommand {
        static let configuration = CommandConfiguration(
            commandName: "backup",
            abstract: "Write a consistent snapshot of the running vault into a file.",
            discussion: """
                The vault goes on serving. The snapshot is encrypted as the database is: without the unseal key it \
                opens nothing. The file gets its name when it is whole, verified and on the disk. The audit log and \
                the unseal key are not in it.

                EXAMPLES
                  coffre operator backup /media/backup/coffre.tar
                  coffre operator backup --keep 14 /var/lib/coffre-backup
                  coffre operator backup - | ssh vault-backup 'cat > coffre.tar'
                """
        )
        @OptionGroup var options: CommonOptions
        @Flag(help: "Replace the file if it exists.")
        var force = false
        @Option(help: "FILE is a folder: write coffre-TIME.tar there and keep this many of the newest.")
        var keep: Int?
        @Argument(help: "The file, or - for standard output.", completion: .file())
        var file: String

        func validate() throws {
            guard keep.map({ (1...10_000).contains($0) }) ?? true else {
                throw ValidationError("--keep takes 1 to 10000")
            }
            guard keep == nil || (file != "-" && !force) else {
                throw ValidationError("--keep takes a folder, and replaces nothing")
            }
        }

        func perform(_ context: Context) async throws {
            let console = context.console
            if file == "-" {
                try StandardOutput.refuseTerminal()
                _ = try await fetch(context) { try StandardOutput.write(Array($0)) }
                return
            }
            let target = keep == nil ? file : try SnapshotFolder(file).newName()
            let partial = try PartialFile(target, overwrites: force, folderOption: "--keep")
            let ending: SnapshotReader.Ending
            do {
                ending = try await fetch(context) { try partial.write($0) }
                try partial.commit()
            } catch {
                partial.discard()
                throw error
            }
            let removed = try keep.map { try SnapshotFolder(file).prune(keeping: $0, and: target) } ?? []
            let manifest = ending.manifest
            if console.format == .json {
                console.json(["file": .string(target), "manifest": manifest.json, "removed": .strings(removed)])
            }
            console.confirm(
                Message(
                    "\(target): generation \(manifest.generation), \(manifest.databaseBytes) bytes, verified",
                    "\(target) : génération \(manifest.generation), \(manifest.databaseBytes) octets, vérifié"
                )
            )
        }

        /// Streams a snapshot into `sink` and checks it on the way.
        private func fetch(
            _ context: Context,
            _ sink: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Void
        ) async throws -> SnapshotReader.Ending {
            let meter = TransferMeter(context.console.language)
            defer { meter.clear() }
            let box = CheckerBox()
            do {
                try await context.client().download(
                    "sys/storage/snapshot",
                    silence: .seconds(max(options.timeout, 600)),
                    started: { meter.start($0) },
                    to: { bytes in
                        try box.feed(bytes)
                        try sink(bytes)
                        meter.add(bytes.count)
                    }
                )
                return try box.finish()
            } catch let error as SnapshotError {
                throw Failure(
                    "what the daemon sent is not a whole snapshot: \(error.reason)",
                    "ce que le démon a envoyé n'est pas un instantané complet : \(error.reason)"
                )
            }
        }
    }
}

/// A checker that the network library's thread feeds and the command finishes.
private final class CheckerBox: Sendable {
    private let checker = Mutex(SnapshotChecker())

    func feed(_ bytes: UnsafeRawBufferPointer) throws { try checker.withLock { try $0.feed(bytes) } }

    func finish() throws -> SnapshotReader.Ending { try checker.withLock { try $0.finish() } }
}

/// How much of a transfer is done.
private final class TransferMeter: Sendable {
    private let line: ProgressLine
    private let state = Mutex((expected: 0, done: 0))

    init(_ language: Language) { line = ProgressLine(language) }

    func start(_ bytes: Int) { state.withLock { $0.expected = bytes } }

    func add(_ bytes: Int) {
        let (expected, done) = state.withLock { state in
            state.done += bytes
            return state
        }
        line.show(Message("\(done >> 20) of \(expected >> 20) MiB", "\(done >> 20) sur \(expected >> 20) Mio"))
    }

    func clear() { line.clear() }
}
