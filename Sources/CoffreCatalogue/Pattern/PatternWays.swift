/// The places in a compiled pattern that what was read so far may have led to.
struct PatternWays {
    private let steps: [FieldPattern.Step]
    /// Places that take a character, or the end; each once.
    private(set) var current: [Int] = []
    private var next: [Int] = []
    private var open: [Int] = []
    /// When each step was reached last.
    private var reached: [Int]
    private var round = 1

    init(_ steps: [FieldPattern.Step]) {
        self.steps = steps
        reached = Array(repeating: 0, count: steps.count)
    }

    mutating func start() {
        reach(0)
        swap(&current, &next)
    }

    mutating func advance(over byte: UInt8) {
        round += 1
        next.removeAll(keepingCapacity: true)
        for place in current {
            if case .one(let set) = steps[place], set.contains(byte) { reach(place + 1) }
        }
        swap(&current, &next)
    }

    /// Adds `place` and what is reached from it without a character, each once: empty loops end.
    private mutating func reach(_ place: Int) {
        open.append(place)
        while let place = open.popLast() {
            guard reached[place] != round else { continue }
            reached[place] = round
            switch steps[place] {
            case .one, .match: next.append(place)
            case .jump(let target): open.append(target)
            case .split(let first, let second):
                open.append(second)
                open.append(first)
            }
        }
    }
}
