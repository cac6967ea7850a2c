import ArgumentParser
import CoffreClient
import CoffreWire
import Glibc

extension KVCommand {
    struct Report: CoffreCommand {
        static let configuration = CommandConfiguration(
            abstract: "When secrets end, and when each was read last.",
            discussion: """
                Versions and ends come from the vault (list and read on metadata/), reads from the audit log. Who may not read
                the log gets the table without them. A secret that no record names was not read since the log's first segment.

                EXAMPLES
                  coffre kv report secret
                  coffre kv report secret --unread-for 90d --audit /var/lib/coffre-audit
                  coffre kv report secret --expires-within 30d --format json
                """
        )
        @OptionGroup var options: CommonOptions
        @Option(help: "Audit folder.", completion: .directory)
        var audit: String = AuditCommand.defaultDirectory
        @Option(help: "Only secrets that nobody has read for this long, such as 90d.")
        var unreadFor: String?
        @Option(help: "Only secrets whose newest version ends within this time, such as 30d.")
        var expiresWithin: String?
        @Argument(help: "Mount, or a folder in it.")
        var path: String = "secret"

        private struct Row {
            let path: String
            let version: JSONValue
            let written: String
            let ends: String
            var read: String?
        }

        func validate() throws {
            for text in [unreadFor, expiresWithin].compactMap({ $0 }) where GoDuration.seconds(text) == nil {
                throw ValidationError("\(text) is no duration: write 90d or 12h")
            }
        }

        func perform(_ context: Context) async throws {
            let client = try context.client()
            let place = try await client.kvPath(RequestPath.trimmed(path))
            var rows = try await secrets(client, place)
            let reads = lastReads(below: place.mount, context.console)
            let now = Int64(time(nil))
            rows = rows.compactMap { row in
                var row = row
                row.read = reads?[row.path]
                if let text = expiresWithin, let limit = GoDuration.seconds(text) {
                    guard let end = RFC3339.seconds(row.ends), end - now <= limit else { return nil }
                }
                if let text = unreadFor, let limit = GoDuration.seconds(text) {
                    guard reads != nil else { return nil }
                    if let read = row.read.flatMap({ RFC3339.seconds($0) }), now - read < limit { return nil }
                }
                return row
            }
            show(rows, hasReads: reads != nil, context.console)
        }

        private func show(_ rows: [Row], hasReads: Bool, _ console: Console) {
            guard console.format == .table else {
                let list = rows.map { row -> JSONValue in
                    [
                        "path": .string(row.path), "version": row.version, "written": .string(row.written),
                        "ends": row.ends.isEmpty ? .null : .string(row.ends),
                        "last_read": row.read.map { .string($0) } ?? .null, "reads_known": .bool(hasReads),
                    ]
                }
                return console.json(.array(list))
            }
            let header =
                console.language == .french
                ? ["Secret", "Version", "Écrite", "Fin", "Dernière lecture"]
                : ["Secret", "Version", "Written", "Ends", "Last read"]
            let never = console.language == .french ? "jamais" : "never"
            console.table(
                header,
                rows.map { row in
                    [
                        escapedForTerminal(row.path), Console.cell(row.version), row.written,
                        row.ends.isEmpty ? "-" : row.ends, row.read ?? (hasReads ? never : "?"),
                    ]
                }
            )
        }

        /// Every secret below a folder, a folder at a time.
        private func secrets(_ client: CoffreClient, _ place: CoffreClient.KVPath) async throws -> [Row] {
            var rows: [Row] = []
            var folders = [place.path]
            while let folder = folders.popLast() {
                let answer = try await client.list("\(place.mount)/detailed-metadata/\(folder)")
                for name in try CoffreClient.keys(of: answer) {
                    let inner = folder.isEmpty ? name : "\(folder)/\(name)"
                    if name.hasSuffix("/") {
                        folders.append(String(inner.dropLast()))
                        continue
                    }
                    let info = answer.data?["key_info"]?[name]
                    let current = info?["current_version"] ?? .integer(0)
                    let newest = info?["versions"]?[Console.cell(current)]
                    rows.append(
                        Row(
                            path: "\(place.mount)/\(inner)",
                            version: current,
                            written: newest?["created_time"]?.string ?? "",
                            ends: newest?["deletion_time"]?.string ?? ""
                        )
                    )
                }
            }
            return rows.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        }

        /// The time of the newest record of a read, by path; nil when the log cannot be read.
        private func lastReads(below mount: String, _ console: Console) -> [String: String]? {
            let listing: SegmentFolder.Listing
            do {
                listing = try SegmentFolder(root: audit).list()
            } catch {
                console.note(
                    Message(
                        "note: the audit log in \(audit) cannot be read, so reads are not shown",
                        "note : le journal d’audit dans \(audit) est illisible, les lectures ne sont pas montrées"
                    )
                )
                return nil
            }
            if listing.hasCompressed {
                console.note(
                    Message(
                        "note: older segments are compressed and not looked at",
                        "note : les segments plus anciens sont compressés et ne sont pas consultés"
                    )
                )
            }
            var reads: [String: String] = [:]
            for segment in listing.segments {
                SegmentReader(segment)?.forEachLine { line in
                    guard let record = try? JSONValue(parsing: line),
                        record["what"]?["op"]?.string == "secret.read", record["out"]?["code"]?.string == "granted",
                        let path = record["what"]?["path"]?.string, path.hasPrefix(mount + "/"),
                        let time = record["_t"]?.string
                    else { return }
                    reads[path] = time
                }
            }
            return reads
        }
    }
}
