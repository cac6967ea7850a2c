import CoffreInsight

/// `coffre anomaly replay --csv`: a series of numbers in, the same with a score for each out.
struct SeriesReplay {
    let console: Console
    private var score = RateScore()
    private var last = Int64.min
    private var (number, bad) = (UInt64(0), UInt64(0))
    private var output: [UInt8] = []

    init(_ console: Console) { self.console = console }

    /// Rows are written as soon as what was read of the input is used up.
    /// - Returns: whether every row was one, below a header.
    /// - Throws: ``Failure``.
    mutating func run(_ file: String) throws -> Bool {
        try LineReader(file).forEach(
            { take($0.last == 0x0d ? UnsafeRawBufferPointer(rebasing: $0.dropLast()) : $0) },
            afterRead: { flush() }
        )
        flush()
        if number == 0 { console.note(Message("\(file) is empty", "\(file) est vide")) }
        if bad > 0 {
            console.note(
                Message("\(bad) of \(number) lines left out", "\(bad) lignes sur \(number) laissées de côté")
            )
        }
        return bad == 0 && number > 0
    }

    private mutating func take(_ line: UnsafeRawBufferPointer) {
        number += 1
        if number == 1 {
            let header = "\(SeriesRow.header)"
            if SeriesRow.isHeader(line) {
                output += Array("\(header),anomaly_score\n".utf8)
            } else {
                refuse(Message("is not the header \(header)", "n’est pas l’en-tête \(header)"))
            }
            return
        }
        guard !line.isEmpty else { return }
        guard let row = SeriesRow.parse(line) else {
            return refuse(Message("is no time and number", "n’est pas une date et un nombre"))
        }
        guard row.time >= last else {
            return refuse(Message("is earlier than the one before", "est antérieure à la précédente"))
        }
        last = row.time
        let parts = Int((score.score(row.value, at: row.time / 1_000_000_000) * 100_000).rounded())
        output += line
        output += Array(",\(parts / 100_000).\(String(parts % 100_000 + 100_000).dropFirst())\n".utf8)
    }

    private mutating func refuse(_ reason: Message) {
        bad += 1
        guard bad <= 10 else { return }
        console.note(Message("line \(number) \(reason.text(.english))", "la ligne \(number) \(reason.text(.french))"))
    }

    private mutating func flush() {
        guard !output.isEmpty else { return }
        console.write(output)
        output.removeAll(keepingCapacity: true)
    }
}
