/// Where the records of an audit log stand, by the words in them: a SQLite file derived from the log, which may be
/// deleted at any time. Confined to whoever owns it.
///
/// Records are taken together in blocks of a fixed number. Per block there is one row that says where its records
/// stand, and one row per word that says which of them hold it. What the bytes of a row mean is the caller's matter.
/// A row is written once, with all the others of its block.
package final class RecordIndex {
    /// How far the log is indexed: the place after the last record, and the leaf hash of that record.
    package struct Mark: Sendable, Equatable {
        package var sequence: UInt64
        /// Number of the first record of the segment.
        package var segment: UInt64
        package var offset: Int
        package var leaf: [UInt8]
        /// Records in a block.
        package var blockRecords: Int

        package init(sequence: UInt64, segment: UInt64, offset: Int, leaf: [UInt8], blockRecords: Int) {
            self.sequence = sequence
            self.segment = segment
            self.offset = offset
            self.leaf = leaf
            self.blockRecords = blockRecords
        }
    }

    /// A block's own row. Times are microseconds since 1970.
    package struct Block: Sendable, Equatable {
        package let number: Int64
        package let earliest: Int64
        package let latest: Int64
        package let places: [UInt8]

        package init(number: Int64, earliest: Int64, latest: Int64, places: [UInt8]) {
            self.number = number
            self.earliest = earliest
            self.latest = latest
            self.places = places
        }
    }

    /// Which records of a block hold a word.
    package struct Posting: Sendable {
        package let kind: Int64
        package let text: [UInt8]
        package let positions: [UInt8]

        package init(kind: Int64, text: [UInt8], positions: [UInt8]) {
            self.kind = kind
            self.text = text
            self.positions = positions
        }
    }

    /// A word that occurs.
    package struct Word: Sendable, Equatable {
        package let id: Int64
        package let kind: Int64
        package let text: [UInt8]
    }

    private static let version: Int64 = 2
    private static let wordsInMemory = 65_536
    private let connection: SQLiteConnection
    private var words: [WordKey: Int64] = [:]

    /// - Throws: ``StorageError``; `.corrupt` also when the file has another version: it is to be made again then.
    package init(path: String, isReader: Bool) throws(StorageError) {
        connection = try SQLiteConnection(path: path, isReader: isReader)
        if !isReader {
            // A journal that is deleted, not a WAL: who may only read the folder can read the index.
            try connection.execute(
                """
                PRAGMA journal_mode = DELETE;
                PRAGMA synchronous = NORMAL;
                PRAGMA cache_size = -16384;
                CREATE TABLE IF NOT EXISTS mark (version INTEGER, sequence INTEGER, segment INTEGER, place INTEGER,
                    leaf BLOB, records INTEGER);
                CREATE TABLE IF NOT EXISTS word (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, text BLOB NOT NULL,
                    UNIQUE (kind, text));
                CREATE TABLE IF NOT EXISTS block (number INTEGER PRIMARY KEY, earliest INTEGER NOT NULL,
                    latest INTEGER NOT NULL, places BLOB NOT NULL);
                CREATE INDEX IF NOT EXISTS by_earliest ON block (earliest);
                CREATE INDEX IF NOT EXISTS by_latest ON block (latest);
                CREATE TABLE IF NOT EXISTS posting (word INTEGER NOT NULL, block INTEGER NOT NULL,
                    positions BLOB NOT NULL, PRIMARY KEY (word, block)) WITHOUT ROWID;
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
        let statement = try connection.statement("SELECT sequence, segment, place, leaf, records FROM mark")
        defer { statement.reset() }
        guard try statement.step() else { return nil }
        return Mark(
            sequence: UInt64(clamping: statement.integer(0)),
            segment: UInt64(clamping: statement.integer(1)),
            offset: Int(statement.integer(2)),
            leaf: statement.blob(3),
            blockRecords: Int(statement.integer(4))
        )
    }

    // MARK: writing

    /// Adds a block and moves the mark, both or neither.
    package func add(_ block: Block, _ postings: [Posting], upTo mark: Mark) throws(StorageError) {
        try transaction { () throws(StorageError) in
            let place = try connection.statement("INSERT INTO block VALUES (?, ?, ?, ?)")
            place.bind(1, block.number)
            place.bind(2, block.earliest)
            place.bind(3, block.latest)
            place.bind(4, block.places)
            try place.run()
            // In the order of the primary key: neighbours share pages.
            var rows: [(word: Int64, posting: Posting)] = []
            for posting in postings { rows.append((try id(of: posting), posting)) }
            rows.sort { $0.word < $1.word }
            for (word, posting) in rows {
                let insert = try connection.statement("INSERT INTO posting VALUES (?, ?, ?)")
                insert.bind(1, word)
                insert.bind(2, block.number)
                insert.bind(3, posting.positions)
                try insert.run()
            }
            try connection.execute("DELETE FROM mark")
            let statement = try connection.statement("INSERT INTO mark VALUES (?, ?, ?, ?, ?, ?)")
            statement.bind(1, Self.version)
            statement.bind(2, Int64(clamping: mark.sequence))
            statement.bind(3, Int64(clamping: mark.segment))
            statement.bind(4, Int64(mark.offset))
            statement.bind(5, mark.leaf)
            statement.bind(6, Int64(mark.blockRecords))
            try statement.run()
        }
    }

    /// The first block that is there.
    package func firstBlock() throws(StorageError) -> Int64? {
        let statement = try connection.statement("SELECT number FROM block ORDER BY number LIMIT 1")
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : nil
    }

    /// Forgets the blocks below `number`, whose records are no longer in the log. Looks at every row.
    package func forget(before number: Int64) throws(StorageError) {
        try transaction { () throws(StorageError) in
            for sql in ["DELETE FROM posting WHERE block < ?", "DELETE FROM block WHERE number < ?"] {
                let statement = try connection.statement(sql)
                statement.bind(1, number)
                try statement.run()
            }
            try connection.execute(
                "DELETE FROM word WHERE NOT EXISTS (SELECT 1 FROM posting WHERE posting.word = word.id)"
            )
        }
        words.removeAll()
    }

    /// Forgets everything.
    package func clear() throws(StorageError) {
        try transaction { () throws(StorageError) in
            try connection.execute("DELETE FROM mark; DELETE FROM posting; DELETE FROM block; DELETE FROM word")
        }
        words.removeAll()
    }

    private func transaction(_ body: () throws(StorageError) -> Void) throws(StorageError) {
        try connection.execute("BEGIN IMMEDIATE")
        do throws(StorageError) {
            try body()
            try connection.execute("COMMIT")
        } catch {
            words.removeAll()
            do throws(StorageError) { try connection.execute("ROLLBACK") } catch _ {}
            throw error
        }
    }

    private func id(of posting: Posting) throws(StorageError) -> Int64 {
        let key = WordKey(kind: posting.kind, text: posting.text)
        if let known = words[key] { return known }
        if words.count >= Self.wordsInMemory { words.removeAll(keepingCapacity: true) }
        let insert = try connection.statement("INSERT INTO word (kind, text) VALUES (?, ?) ON CONFLICT DO NOTHING")
        insert.bind(1, posting.kind)
        insert.bind(2, posting.text)
        try insert.run()
        guard let id = try word(posting.kind, posting.text)?.id else {
            throw StorageError(.corrupt, "the index has lost a word")
        }
        words[key] = id
        return id
    }

    // MARK: reading

    package func word(_ kind: Int64, _ text: [UInt8]) throws(StorageError) -> Word? {
        let statement = try connection.statement(Self.wordQuery)
        defer { statement.reset() }
        statement.bind(1, kind)
        statement.bind(2, text)
        return try statement.step() ? Word(id: statement.integer(0), kind: kind, text: text) : nil
    }

    /// Words that begin with `prefix`, at most `limit`, by their bytes.
    package func words(_ kind: Int64, prefix: [UInt8], limit: Int) throws(StorageError) -> [Word] {
        let statement = try connection.statement(Self.prefixQuery)
        defer { statement.reset() }
        statement.bind(1, kind)
        statement.bind(2, prefix)
        // No UTF-8 text holds this byte.
        statement.bind(3, prefix + [0xff])
        statement.bind(4, Int64(limit))
        var found: [Word] = []
        while try statement.step() { found.append(Word(id: statement.integer(0), kind: kind, text: statement.blob(1))) }
        return found
    }

    /// The first block that says that it holds something of `time` or later; nil when none does.
    package func firstBlock(endingAfter time: Int64) throws(StorageError) -> Int64? {
        try bound(Self.firstBlockQuery, time)
    }

    /// The last block that says that it holds something of before `time`; nil when none does.
    package func lastBlock(beginningBefore time: Int64) throws(StorageError) -> Int64? {
        try bound(Self.lastBlockQuery, time)
    }

    private func bound(_ sql: String, _ time: Int64) throws(StorageError) -> Int64? {
        let statement = try connection.statement(sql)
        defer { statement.reset() }
        statement.bind(1, time)
        // Zero also stands for NULL, so the count says whether there was any.
        return try statement.step() && statement.integer(1) > 0 ? statement.integer(0) : nil
    }

    package func block(_ number: Int64) throws(StorageError) -> Block? {
        let statement = try connection.statement(Self.blockQuery)
        defer { statement.reset() }
        statement.bind(1, number)
        guard try statement.step() else { return nil }
        return Block(
            number: number,
            earliest: statement.integer(0),
            latest: statement.integer(1),
            places: statement.blob(2)
        )
    }

    /// What a word's row of a block says; nil when no record of it holds the word.
    package func positions(of word: Word, in block: Int64) throws(StorageError) -> [UInt8]? {
        let statement = try connection.statement(Self.positionsQuery)
        defer { statement.reset() }
        statement.bind(1, word.id)
        statement.bind(2, block)
        return try statement.step() ? statement.blob(0) : nil
    }

    /// The first block from `block` to `last` in which a word occurs.
    package func nextBlock(of word: Word, from block: Int64, to last: Int64) throws(StorageError) -> Int64? {
        let statement = try connection.statement(Self.nextBlockQuery)
        defer { statement.reset() }
        statement.bind(1, word.id)
        statement.bind(2, block)
        statement.bind(3, last)
        return try statement.step() ? statement.integer(0) : nil
    }

    /// In how many of these blocks a word occurs; counting ends at `limit`.
    package func count(of word: Word, in blocks: ClosedRange<Int64>, limit: Int) throws(StorageError) -> Int {
        let statement = try connection.statement(Self.countQuery)
        defer { statement.reset() }
        statement.bind(1, word.id)
        statement.bind(2, blocks.lowerBound)
        statement.bind(3, blocks.upperBound)
        statement.bind(4, Int64(limit))
        return try statement.step() ? Int(statement.integer(0)) : 0
    }

    private static let wordQuery = "SELECT id FROM word WHERE kind = ? AND text = ?"
    private static let prefixQuery =
        "SELECT id, text FROM word WHERE kind = ? AND text >= ? AND text < ? ORDER BY text LIMIT ?"
    private static let firstBlockQuery = "SELECT min(number), count(*) FROM block WHERE latest >= ?"
    private static let lastBlockQuery = "SELECT max(number), count(*) FROM block WHERE earliest < ?"
    private static let blockQuery = "SELECT earliest, latest, places FROM block WHERE number = ?"
    private static let positionsQuery = "SELECT positions FROM posting WHERE word = ? AND block = ?"
    private static let nextBlockQuery =
        "SELECT block FROM posting WHERE word = ? AND block BETWEEN ? AND ? ORDER BY block LIMIT 1"
    private static let countQuery =
        "SELECT count(*) FROM (SELECT 1 FROM posting WHERE word = ? AND block BETWEEN ? AND ? LIMIT ?)"

    /// How the library answers each question: `EXPLAIN QUERY PLAN`, for tests.
    package func plans() throws(StorageError) -> [(query: String, plan: [String])] {
        var plans: [(query: String, plan: [String])] = []
        for query in [
            Self.wordQuery, Self.prefixQuery, Self.firstBlockQuery, Self.lastBlockQuery, Self.blockQuery,
            Self.positionsQuery, Self.nextBlockQuery, Self.countQuery,
        ] {
            let statement = try connection.statement("EXPLAIN QUERY PLAN " + query)
            defer { statement.reset() }
            var lines: [String] = []
            while try statement.step() { lines.append(String(decoding: statement.blob(3), as: UTF8.self)) }
            plans.append((query, lines))
        }
        return plans
    }
}

/// A word as a key, hashed as a whole.
private struct WordKey: Hashable {
    let kind: Int64
    let text: [UInt8]

    func hash(into hasher: inout Hasher) {
        hasher.combine(kind)
        text.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

@available(*, unavailable)
extension RecordIndex: Sendable {}
