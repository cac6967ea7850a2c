/// Guesses what a misspelt name was meant to be.
enum NearestName {
    /// The nearest of `names`: at most a third of its letters differ, and at most three.
    static func of(_ name: String, among names: [String]) -> String? {
        let text = Array(name.utf8.prefix(64))
        let near = names.map { (name: $0, distance: distance(text, Array($0.utf8))) }
        guard let best = near.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance <= min(3, max(1, best.name.utf8.count / 3)) ? best.name : nil
    }

    /// Letters to insert, to leave out or to replace, and neighbours to exchange, until one is the other.
    private static func distance(_ first: [UInt8], _ second: [UInt8]) -> Int {
        var before: [Int] = []
        var row = Array(0...second.count)
        for (i, a) in first.enumerated() {
            var next = [i + 1]
            for (j, b) in second.enumerated() {
                var least = min(row[j] + (a == b ? 0 : 1), row[j + 1] + 1, next[j] + 1)
                if i > 0, j > 0, a == second[j - 1], first[i - 1] == b { least = min(least, before[j - 1] + 1) }
                next.append(least)
            }
            (before, row) = (row, next)
        }
        return row[second.count]
    }
}
