internal import CoffreStorage

/// Asks an index where the records that fit a question stand. What it says is a hint.
struct IndexSearch {
    struct Hit: Equatable {
        let sequence: UInt64
        let segment: UInt64
        let offset: Int
    }

    /// What is looked for; every condition that is set must hold.
    struct Question {
        var since: Int64 = 0
        var until: Int64 = .max
        var filter = RecordFilter()
        /// Only records from this number on.
        var from: UInt64 = 0
        var limit = 100
    }

    /// Words of one kind, any of which will do.
    private struct Condition {
        var words: [RecordIndex.Word]
        /// In how many stretches of the index it holds, as far as was counted.
        var weight: Int
    }

    /// A beginning that more paths have than this is left to whoever reads the records.
    private static let mostWords = 10_000
    private static let mostCounted = 1000
    static let blockRecords = 1...65_536

    private let index: RecordIndex
    private let mark: RecordIndex.Mark
    private let question: Question
    private var conditions: [Condition] = []
    /// Whether some condition could not be asked of the index: hits may fail it.
    private(set) var isLoose = false

    /// - Parameter mark: of `index`.
    /// - Throws: ``StorageError``, ``IndexLie``.
    init(_ index: RecordIndex, _ mark: RecordIndex.Mark, _ question: Question) throws {
        guard Self.blockRecords.contains(mark.blockRecords),
            mark.sequence.isMultiple(of: UInt64(mark.blockRecords)), mark.sequence <= 1 << 53
        else { throw IndexLie("the index says nothing sensible of its size") }
        self.index = index
        self.mark = mark
        self.question = question
    }

    /// The first records, by number, that fit; at most one more than the limit.
    mutating func hits() throws -> [Hit] {
        guard var blocks = try range() else { return [] }
        guard try prepare(blocks) else { return [] }
        var hits: [Hit] = []
        while let number = try nextBlock(in: blocks) {
            try collect(number, &hits)
            guard hits.count <= question.limit, number < blocks.upperBound else { break }
            blocks = (number + 1)...blocks.upperBound
        }
        return hits
    }

    /// The blocks in which there may be something.
    private func range() throws -> ClosedRange<Int64>? {
        guard mark.sequence > question.from, let lowest = try index.firstBlock() else { return nil }
        let count = UInt64(mark.blockRecords)
        let highest = Int64(clamping: (mark.sequence - 1) / count)
        guard lowest <= highest else { return nil }
        var (first, last) = (lowest, highest)
        // What is left out because of its time must really be of another: the neighbours are looked at.
        if question.since > 0 {
            first = min(max(lowest, try index.firstBlock(endingAfter: question.since) ?? highest + 1), highest + 1)
            let isEarlier = try first == lowest || places(first - 1).allSatisfy { $0.time < question.since }
            guard isEarlier else { throw Self.wrongTimes }
        }
        if question.until < .max {
            last = max(min(highest, try index.lastBlock(beginningBefore: question.until) ?? lowest - 1), lowest - 1)
            let isLater = try last == highest || places(last + 1).allSatisfy { $0.time >= question.until }
            guard isLater else { throw Self.wrongTimes }
        }
        first = max(first, Int64(clamping: question.from / count))
        return first <= last ? first...last : nil
    }

    /// - Returns: false when nothing can fit.
    private mutating func prepare(_ blocks: ClosedRange<Int64>) throws -> Bool {
        let filter = question.filter
        let texts: [(IndexKind, String?)] = [
            (.actor, filter.actor), (.connector, filter.connector), (.operation, filter.operation?.rawValue),
            (.outcome, filter.outcome?.rawValue), (.path, filter.isPathPrefix ? nil : filter.path),
        ]
        for case (let kind, let text?) in texts {
            guard let word = try index.word(kind.rawValue, IndexBlock.word(text)) else { return false }
            let weight = try index.count(of: word, in: blocks, limit: Self.mostCounted)
            conditions.append(Condition(words: [word], weight: weight))
        }
        if filter.isPathPrefix, let path = filter.path {
            let prefix = IndexBlock.word(String(path.dropLast()))
            let words = try index.words(IndexKind.path.rawValue, prefix: prefix, limit: Self.mostWords + 1)
            guard !words.isEmpty else { return false }
            if words.count > Self.mostWords {
                isLoose = true
            } else {
                var weight = 0
                for word in words where weight < Self.mostCounted {
                    weight += try index.count(of: word, in: blocks, limit: Self.mostCounted)
                }
                conditions.append(Condition(words: words, weight: weight))
            }
        }
        // The rarest first: it says which blocks are looked at.
        conditions.sort { ($0.words.count > 1 ? 1 : 0, $0.weight) < ($1.words.count > 1 ? 1 : 0, $1.weight) }
        return true
    }

    private func nextBlock(in blocks: ClosedRange<Int64>) throws -> Int64? {
        guard let rarest = conditions.first, rarest.words.count == 1, let word = rarest.words.first else {
            return blocks.lowerBound
        }
        return try index.nextBlock(of: word, from: blocks.lowerBound, to: blocks.upperBound)
    }

    private func collect(_ number: Int64, _ hits: inout [Hit]) throws {
        var left: [Int]?
        for condition in conditions {
            let positions = try self.positions(condition, in: number)
            left = left.map { Self.common($0, positions) } ?? positions
            if left?.isEmpty ?? false { return }
        }
        let places = try places(number)
        let begin = UInt64(number) * UInt64(mark.blockRecords)
        for position in left ?? Array(places.indices) {
            let sequence = begin + UInt64(position)
            let place = places[position]
            guard sequence >= question.from, question.since <= place.time, place.time < question.until else { continue }
            hits.append(Hit(sequence: sequence, segment: place.segment, offset: place.offset))
            if hits.count > question.limit { return }
        }
    }

    private func places(_ number: Int64) throws -> [BlockPlaces.Place] {
        guard let block = try index.block(number) else { throw IndexLie("a block is missing in the index") }
        let places = try BlockPlaces(block.places, number, count: mark.blockRecords).places
        guard block.earliest == places.map(\.time).min(), block.latest == places.map(\.time).max() else {
            throw Self.wrongTimes
        }
        return places
    }

    private static let wrongTimes = IndexLie("a block of the index has other times than its records")

    private func positions(_ condition: Condition, in block: Int64) throws -> [Int] {
        var all: [Int] = []
        for word in condition.words {
            guard let bytes = try index.positions(of: word, in: block) else { continue }
            all += try PositionList.decode(bytes, word.kind, word.text, block, count: mark.blockRecords)
        }
        return condition.words.count > 1 ? all.sorted() : all
    }

    private static func common(_ first: [Int], _ second: [Int]) -> [Int] {
        var (common, left, right): ([Int], Int, Int) = ([], 0, 0)
        while left < first.count, right < second.count {
            if first[left] == second[right] { common.append(first[left]) }
            let (one, other) = (first[left], second[right])
            if one <= other { left += 1 }
            if other <= one { right += 1 }
        }
        return common
    }

    /// How many records of `range` hold a word, as the index has it. `range` lies within what is indexed.
    func count(_ kind: IndexKind, _ text: String, in range: ClosedRange<UInt64>) throws -> UInt64 {
        guard let word = try index.word(kind.rawValue, IndexBlock.word(text)) else { return 0 }
        let size = UInt64(mark.blockRecords)
        var (block, last) = (Int64(clamping: range.lowerBound / size), Int64(clamping: range.upperBound / size))
        last = min(last, Int64(clamping: mark.sequence / size))
        var count: UInt64 = 0
        while let number = try index.nextBlock(of: word, from: block, to: last) {
            block = number + 1
            guard let bytes = try index.positions(of: word, in: number) else { continue }
            let positions = try PositionList.decode(bytes, word.kind, word.text, number, count: mark.blockRecords)
            let begin = UInt64(number) * size
            count += UInt64(positions.count { range.contains(begin + UInt64($0)) })
        }
        return count
    }

    /// Where a record stands, as the index has it; nil beyond what is indexed.
    func place(of sequence: UInt64) throws -> Hit? {
        guard sequence < mark.sequence else { return nil }
        let size = UInt64(mark.blockRecords)
        let number = Int64(clamping: sequence / size)
        let place = try places(number)[Int(sequence % size)]
        return Hit(sequence: sequence, segment: place.segment, offset: place.offset)
    }
}
