/// Where the records of an audit log stand, by who, what and when: a SQLite file derived from the log, which may be
/// deleted at any time. Confined to whoever owns it.
package final class RecordIndex {
    /// Where one record stands, and what it is found by. Texts are bytes as they are in the record.
    package struct Row: Sendable {
        package var sequence: UInt64
        /// Microseconds since 1970.
        package var time: Int64
        package var subject: [UInt8]?
        package var unit: [UInt8]?
        package var connector: [UInt8]?
        package var path: [UInt8]?
        package var operation: String
        package var outcome: String
        /// Number of the first record of its segment, and where in it the line begins.
        package var segment: UInt64
        package var offset: Int

        package init(
            sequence: UInt64,
            time: Int64,
            operation: String,
            outcome: String,
            segment: UInt64,
            offset: Int
        ) {
            self.sequence = sequence
            self.time = time
            self.operation = operation
            self.outcome = outcome
            self.segment = segment
            self.offset = offset
        }
    }

    /// What is looked for. Every condition that is set must hold.
    package struct Question: Sendable {
        package var since: Int64 = 0
        package var until: Int64 = .max
        /// Subject or unit.
        package var actor: [UInt8]?
        package var connector: [UInt8]?
        package var path: [UInt8]?
        /// Whether `path` is the beginning of one.
        package var isPrefix = false
        package var operation: String?
        package var outcome: String?
        /// Only records from this number on.
        package var from: UInt64 = 0
        package var limit = 100

        package init() {}
    }

    package struct Hit: Sendable, Equatable {
        package let sequence: UInt64
        package let segment: UInt64
        package let offset: Int
    }

    /// How far the log is indexed: the place after the last record, and the leaf hash of that record.
    package struct Mark: Sendable, Equatable {
        package var sequence: UInt64
        package var segment: UInt64
        package var offset: Int
        package var leaf: [UInt8]

        package init(sequence: UInt64, segment: UInt64, offset: Int, leaf: [UInt8]) {
            self.sequence = sequence
            self.segment = segment
            self.offset = offset
            self.leaf = leaf
        }
    }

    private static let version: Int64 = 1
    private let connection: SQLiteConnection
    private var words: [[UInt8]: Int64] = [:]

    /// - Throws: ``StorageError``, also when the file has another version: it is to be made again then.
    package init(path: String, isReader: Bool) throws(StorageError) {
        connection = try SQLiteConnection(path: path, isReader: isReader)
        if !isReader {
            try connection.execute(
                """
                PRAGMA journal_mode = DELETE;
                PRAGMA synchronous = NORMAL;
                PRAGMA cache_size = -16384;
                CREATE TABLE IF NOT EXISTS mark (version INTEGER, sequence INTEGER, segment INTEGER, place INTEGER,
                    leaf BLOB);
                CREATE TABLE IF NOT EXISTS word (id INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE);
                CREATE TABLE IF NOT EXISTS record (sequence INTEGER PRIMARY KEY, time INTEGER NOT NULL, subject INTEGER,
                    unit INTEGER, connector INTEGER, path INTEGER, operation INTEGER NOT NULL,
                    outcome INTEGER NOT NULL, segment INTEGER NOT NULL, place INTEGER NOT NULL);
                CREATE INDEX IF NOT EXISTS by_time ON record (time);
                CREATE INDEX IF NOT EXISTS by_subject ON record (subject, time) WHERE subject IS NOT NULL;
                CREATE INDEX IF NOT EXISTS by_unit ON record (unit, time) WHERE unit IS NOT NULL;
                CREATE INDEX IF NOT EXISTS by_connector ON record (connector, time) WHERE connector IS NOT NULL;
                CREATE INDEX IF NOT EXISTS by_path ON record (path, time) WHERE path IS NOT NULL;
                CREATE INDEX IF NOT EXISTS by_operation ON record (operation, time);
                """
            )
        }
        let found = try connection.statement("SELECT version FROM mark")
        if try found.step(), found.integer(0) != Self.version {
            throw StorageError(.corrupt, "the index has another version")
        }
        found.reset()
    }

    /// Nil when nothing is indexed yet.
    package func mark() throws(StorageError) -> Mark? {
        let statement = try connection.statement("SELECT sequence, segment, place, leaf FROM mark")
        defer { statement.reset() }
        guard try statement.step() else { return nil }
        return Mark(
            sequence: UInt64(clamping: statement.integer(0)),
            segment: UInt64(clamping: statement.integer(1)),
            offset: Int(statement.integer(2)),
            leaf: statement.blob(3)
        )
    }

    /// Adds records and moves the mark, both or neither.
    package func add(_ rows: [Row], upTo mark: Mark) throws(StorageError) {
        try connection.execute("BEGIN IMMEDIATE")
        do throws(StorageError) {
            let insert = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            for row in rows {
                let texts = [row.subject, row.unit, row.connector, row.path]
                var ids: [Int64?] = []
                for text in texts { ids.append(try text.map { text throws(StorageError) in try word(text) }) }
                let operation = try word(Array(row.operation.utf8))
                let outcome = try word(Array(row.outcome.utf8))
                let statement = try connection.statement(insert)
                statement.bind(1, Int64(clamping: row.sequence))
                statement.bind(2, row.time)
                for (index, id) in ids.enumerated() { if let id { statement.bind(Int32(index) + 3, id) } }
                statement.bind(7, operation)
                statement.bind(8, outcome)
                statement.bind(9, Int64(clamping: row.segment))
                statement.bind(10, Int64(row.offset))
                try statement.run()
            }
            try connection.execute("DELETE FROM mark")
            let statement = try connection.statement("INSERT INTO mark VALUES (?, ?, ?, ?, ?)")
            statement.bind(1, Self.version)
            statement.bind(2, Int64(clamping: mark.sequence))
            statement.bind(3, Int64(clamping: mark.segment))
            statement.bind(4, Int64(mark.offset))
            statement.bind(5, mark.leaf)
            try statement.run()
            try connection.execute("COMMIT")
        } catch {
            words.removeAll()
            do throws(StorageError) { try connection.execute("ROLLBACK") } catch _ {}
            throw error
        }
    }

    private func word(_ text: [UInt8]) throws(StorageError) -> Int64 {
        if let known = words[text] { return known }
        if words.count >= 65_536 { words.removeAll(keepingCapacity: true) }
        let insert = try connection.statement("INSERT INTO word (text) VALUES (?) ON CONFLICT DO NOTHING")
        insert.bind(1, text)
        try insert.run()
        guard let id = try find(text) else { throw StorageError(.corrupt, "the index has lost a word") }
        words[text] = id
        return id
    }

    private func find(_ text: [UInt8]) throws(StorageError) -> Int64? {
        let statement = try connection.statement("SELECT id FROM word WHERE text = ?")
        defer { statement.reset() }
        statement.bind(1, text)
        return try statement.step() ? statement.integer(0) : nil
    }

    /// The first records, by number, that answer a question. They are hints: whoever shows one reads it in the log.
    package func find(_ question: Question) throws(StorageError) -> [Hit] {
        var conditions = ["time >= ?1", "time < ?2", "sequence >= ?3"]
        var values: [(place: Int32, word: Int64)] = []
        func add(_ text: [UInt8]?, _ condition: (String) -> String) throws(StorageError) -> Bool {
            guard let text else { return true }
            guard let id = try find(text) else { return false }
            let place = Int32(values.count + 7)
            values.append((place, id))
            conditions.append(condition("?\(place)"))
            return true
        }
        guard try add(question.actor, { "(subject = \($0) OR unit = \($0))" }),
            try add(question.connector, { "connector = \($0)" }),
            try add(question.isPrefix ? nil : question.path, { "path = \($0)" }),
            try add(question.operation.map { Array($0.utf8) }, { "operation = \($0)" }),
            try add(question.outcome.map { Array($0.utf8) }, { "outcome = \($0)" })
        else { return [] }
        let prefix = question.isPrefix ? question.path : nil
        if prefix != nil { conditions.append("path IN (SELECT id FROM word WHERE text >= ?5 AND text < ?6)") }
        let statement = try connection.statement(
            """
            SELECT sequence, segment, place FROM record WHERE \(conditions.joined(separator: " AND "))
            ORDER BY sequence LIMIT ?4
            """
        )
        defer { statement.reset() }
        statement.bind(1, question.since)
        statement.bind(2, question.until)
        statement.bind(3, Int64(clamping: question.from))
        statement.bind(4, Int64(question.limit))
        if let prefix {
            statement.bind(5, prefix)
            statement.bind(6, prefix + [UInt8](repeating: 0xff, count: 4))
        }
        for (place, word) in values { statement.bind(place, word) }
        var hits: [Hit] = []
        while try statement.step() {
            hits.append(
                Hit(
                    sequence: UInt64(clamping: statement.integer(0)),
                    segment: UInt64(clamping: statement.integer(1)),
                    offset: Int(statement.integer(2))
                )
            )
        }
        return hits
    }
}

@available(*, unavailable)
extension RecordIndex: Sendable {}
