internal import CoffreStorage

/// A block of the index while it is filled.
struct IndexBlock {
    /// A word of a record, as it stands between its quotes there: the form is canonical, so equal bytes are equal words.
    private struct Key: Hashable {
        let kind: IndexKind
        let text: [UInt8]

        func hash(into hasher: inout Hasher) {
            hasher.combine(kind.rawValue)
            text.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }

    let number: Int64
    private var places = BlockPlaces()
    private var positions: [Key: [Int]] = [:]

    init(number: Int64) { self.number = number }

    var count: Int { places.places.count }

    /// - Parameter form: of `line`.
    mutating func add(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm, _ place: LogLines.Place) {
        let position = count
        places.append(
            BlockPlaces.Place(time: form.time.microseconds, segment: place.segment, offset: place.offset)
        )
        add(.operation, Array(form.operation.rawValue.utf8), position)
        add(.outcome, Array(form.outcome.rawValue.utf8), position)
        form.visitNames(in: line) { kind, range in add(kind, Array(line[range]), position) }
    }

    private mutating func add(_ kind: IndexKind, _ text: [UInt8], _ position: Int) {
        let key = Key(kind: kind, text: text)
        // Who acts for himself stands twice in a record.
        if positions[key]?.last == position { return }
        positions[key, default: []].append(position)
    }

    var row: RecordIndex.Block {
        RecordIndex.Block(
            number: number,
            earliest: places.earliest,
            latest: places.latest,
            places: places.encode(number)
        )
    }

    var postings: [RecordIndex.Posting] {
        positions.map { key, positions in
            RecordIndex.Posting(
                kind: key.kind.rawValue,
                text: key.text,
                positions: PositionList.encode(positions, key.kind, key.text, number)
            )
        }
    }

    /// A text as it stands between the quotes of a record.
    static func word(_ text: String) -> [UInt8] {
        var buffer = ByteBuffer(capacity: 64)
        buffer.append(text: text)
        return Array(buffer.bytes.dropFirst().dropLast())
    }
}
