/// A pattern as it was read.
indirect enum PatternNode: Sendable, Equatable {
    case one(CharacterSet)
    case sequence([PatternNode])
    case choice([PatternNode])
    /// - Parameter most: nil for any number.
    case repeated(PatternNode, least: Int, most: Int?)
}

/// Turns what was read into steps.
struct PatternCompiler {
    private(set) var steps: [FieldPattern.Step] = []

    mutating func emit(_ node: PatternNode) {
        // Repetitions multiply: what is too large already need not be written out.
        guard steps.count < FieldPattern.maximumSteps else { return }
        switch node {
        case .one(let set): steps.append(.one(set))
        case .sequence(let nodes): for node in nodes { emit(node) }
        case .choice(let nodes): emitChoice(nodes[...])
        case .repeated(let node, let least, let most):
            for _ in 0..<least { emit(node) }
            if let most { emitOptional(node, most - least) } else { emitLoop(node) }
        }
    }

    private mutating func emitChoice(_ nodes: ArraySlice<PatternNode>) {
        var ends: [Int] = []
        for (index, node) in zip(nodes.indices, nodes) {
            let isLast = index == nodes.endIndex - 1
            let split = steps.count
            if !isLast { steps.append(.split(split + 1, split)) }
            emit(node)
            if isLast { break }
            ends.append(steps.count)
            steps.append(.jump(0))
            steps[split] = .split(split + 1, steps.count)
        }
        for end in ends { steps[end] = .jump(steps.count) }
    }

    private mutating func emitOptional(_ node: PatternNode, _ count: Int) {
        var splits: [Int] = []
        for _ in 0..<count {
            guard steps.count < FieldPattern.maximumSteps else { break }
            splits.append(steps.count)
            steps.append(.split(steps.count + 1, steps.count))
            emit(node)
        }
        for split in splits { steps[split] = .split(split + 1, steps.count) }
    }

    private mutating func emitLoop(_ node: PatternNode) {
        let split = steps.count
        steps.append(.split(split + 1, split))
        emit(node)
        steps.append(.jump(split))
        steps[split] = .split(split + 1, steps.count)
    }
}
