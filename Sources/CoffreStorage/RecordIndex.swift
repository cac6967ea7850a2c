/// Where the records of an audit log stand, by the words in them: a SQLite file derived from the log, which may be
/// deleted at any time. Confined to whoever owns it.
///
/// Records are taken together in blocks of a fixed number. Per block there is one row that says where its records
/// stand, and one row per word that says which of them hold it; per stretch of many blocks, which words occur there at
/// all. What the bytes of a row mean is the caller's matter. A row is written once, with the others of its block, at the
/// end of its table: a log that grows writes little besides.
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

    private static let version: Int64 = 3
    /// Blocks of a stretch.
    private static let stretch: Int64 = 64
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
                CREATE TABLE IF NOT EXISTS posting (block INTEGER NOT NULL, word INTEGER NOT NULL,
                    positions BLOB NOT NULL, PRIMARY KEY (block, word)) WITHOUT ROWID;
                CREATE TABLE IF NOT EXISTS stretch (word INTEGER NOT NULL, number INTEGER NOT NULL,
                    PRIMARY KEY (word, number)) WITHOUT ROWID;
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

    /// Adds blocks in their order and moves the mark, all or nothing.
    package func add(_ blocks: [(block: Block, postings: [Posting])], upTo mark: Mark) throws(StorageError) {
        try transaction { () throws(StorageError) in
            for (block, postings) in blocks { try add(block, postings) }
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

    private func add(_ block: Block, _ postings: [Posting]) throws(StorageError) {
        let place = try connection.statement("INSERT INTO block VALUES (?, ?, ?, ?)")
        place.bind(1, block.number)
        place.bind(2, block.earliest)
        place.bind(3, block.latest)
        place.bind(4, block.places)
        try place.run()
        // In the order of the primary key: every row goes to the end of the table.
        var rows: [(word: Int64, posting: Posting)] = []
        for posting in postings { rows.append((try id(of: posting), posting)) }
        rows.sort { $0.word < $1.word }
        for (word, posting) in rows {
            let insert = try connection.statement("INSERT INTO posting VALUES (?, ?, ?)")
            insert.bind(1, block.number)
            insert.bind(2, word)
            insert.bind(3, posting.positions)
            try insert.run()
        }
        guard block.number % Self.stretch == Self.stretch - 1 else { return }
        let close = try connection.statement(
            "INSERT OR IGNORE INTO stretch SELECT DISTINCT word, ?1 FROM posting WHERE block BETWEEN ?2 AND ?3"
        )
        close.bind(1, block.number / Self.stretch)
        close.bind(2, block.number - Self.stretch + 1)
        close.bind(3, block.number)
        try close.run()
    }

    /// The first block that is there.
    package func firstBlock() throws(StorageError) -> Int64? {
        let statement = try connection.statement("SELECT number FROM block ORDER BY number LIMIT 1")
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : nil
    }

    /// Forgets the blocks below `number`, whose records are no longer in the log. Looks at every word.
    package func forget(before number: Int64) throws(StorageError) {
        try transaction { () throws(StorageError) in
            for sql in ["DELETE FROM posting WHERE block < ?", "DELETE FROM block WHERE number < ?"] {
                let statement = try connection.statement(sql)
                statement.bind(1, number)
                try statement.run()
            }
            let stretches = try connection.statement("DELETE FROM stretch WHERE number < ?")
            stretches.bind(1, number / Self.stretch)
            try stretches.run()
            // Words of blocks whose stretch is open, or begins before `number`, are in no stretch yet.
            let words = try connection.statement(
                """
                DELETE FROM word WHERE NOT EXISTS (SELECT 1 FROM stretch WHERE stretch.word = word.id)
                AND id NOT IN (SELECT word FROM posting WHERE block >= ?)
                """
            )
            let open = try connection.statement("SELECT max(number) FROM block")
            let last = try open.step() ? open.integer(0) : 0
            open.reset()
            words.bind(1, last - last % Self.stretch)
            try words.run()
        }
        words.removeAll()
    }

    /// Forgets everything.
    package func clear() throws(StorageError) {
        try transaction { () throws(StorageError) in
            for table in ["mark", "posting", "block", "word", "stretch"] {
                try connection.execute("DELETE FROM \(table)")
            }
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
        statement.bind(1, block)
        statement.bind(2, word.id)
        return try statement.step() ? statement.blob(0) : nil
    }

    /// The first block from `block` to `last` in which a word may occur: stretches without it are left out.
    package func nextBlock(of word: Word, from block: Int64, to last: Int64) throws(StorageError) -> Int64? {
        guard block <= last else { return nil }
        let known = try closedStretches()
        let here = block / Self.stretch
        guard here < known else { return block }
        let statement = try connection.statement(Self.nextStretchQuery)
        defer { statement.reset() }
        statement.bind(1, word.id)
        statement.bind(2, here)
        let next = try statement.step() ? min(statement.integer(0), known) : known
        let first = max(block, next * Self.stretch)
        return first <= last ? first : nil
    }

    /// Stretches that are full, from the beginning of the log.
    private func closedStretches() throws(StorageError) -> Int64 {
        let statement = try connection.statement(Self.lastBlockOfAll)
        defer { statement.reset() }
        return try statement.step() ? (statement.integer(0) + 1) / Self.stretch : 0
    }

    /// In how many stretches of these blocks a word occurs; counting ends at `limit`.
    package func count(of word: Word, in blocks: ClosedRange<Int64>, limit: Int) throws(StorageError) -> Int {
        let statement = try connection.statement(Self.countQuery)
        defer { statement.reset() }
        statement.bind(1, word.id)
        statement.bind(2, blocks.lowerBound / Self.stretch)
        statement.bind(3, blocks.upperBound / Self.stretch)
        statement.bind(4, Int64(limit))
        return try statement.step() ? Int(statement.integer(0)) : 0
    }

    private static let wordQuery = "SELECT id FROM word WHERE kind = ? AND text = ?"
    private static let prefixQuery =
        "SELECT id, text FROM word WHERE kind = ? AND text >= ? AND text < ? ORDER BY text LIMIT ?"
    private static let firstBlockQuery = "SELECT min(number), count(*) FROM block WHERE latest >= ?"
    private static let lastBlockQuery = "SELECT max(number), count(*) FROM block WHERE earliest < ?"
    private static let blockQuery = "SELECT earliest, latest, places FROM block WHERE number = ?"
    private static let positionsQuery = "SELECT positions FROM posting WHERE block = ? AND word = ?"
    private static let lastBlockOfAll = "SELECT number FROM block ORDER BY number DESC LIMIT 1"
    private static let nextStretchQuery =
        "SELECT number FROM stretch WHERE word = ? AND number >= ? ORDER BY number LIMIT 1"
    private static let countQuery =
        "SELECT count(*) FROM (SELECT 1 FROM stretch WHERE word = ? AND number BETWEEN ? AND ? LIMIT ?)"

    /// How the library answers each question: `EXPLAIN QUERY PLAN`, for tests.
    package func plans() throws(StorageError) -> [(query: String, plan: [String])] {
        var plans: [(query: String, plan: [String])] = []
        for query in [
            Self.wordQuery, Self.prefixQuery, Self.firstBlockQuery, Self.lastBlockQuery, Self.blockQuery,
            Self.positionsQuery, Self.nextStretchQuery, Self.countQuery,
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
