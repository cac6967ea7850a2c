import CoffreWire
import Foundation

/// Either daemon killed at each frame between them.
extension DatabaseStage {
    /// Where somebody dies, seen from the line between the daemons.
    enum Point: CaseIterable {
        case jobAboutToLeave
        case jobWithTheBroker
        case answerAboutToArrive
        case answerArrived
        case acknowledged
    }

    /// Lets frames pass, and calls `kill` once at `point` of the job that counts as number `nth`.
    /// - Parameter isLost: whether the frame of that moment dies too, as it does with either daemon.
    func kill(at point: Point, nth: Int = 1, isLost: Bool = true, _ kill: @escaping @Sendable () -> Void) {
        let jobs = Counter()
        let once = Once()
        gate.watch { kind, direction, frame in
            if kind == .job, direction == .toBroker { jobs.add() }
            guard jobs.count == nth else { return [frame] }
            switch (point, kind, direction) {
            case (.jobAboutToLeave, .job, .toBroker), (.answerAboutToArrive, .answer, .toVault):
                guard once.isFirst else { return [frame] }
                kill()
                return isLost ? [] : [frame]
            case (.jobWithTheBroker, .job, .toBroker), (.answerArrived, .answer, .toVault):
                if once.isFirst { Thread.detachNewThread(kill) }
                return [frame]
            case (.acknowledged, .ack, .toBroker):
                if once.isFirst { kill() }
                return [frame]
            default: return [frame]
            }
        }
    }
}

private final class Counter: @unchecked Sendable {  // `value` is touched under `lock` only.
    private let lock = NSLock()
    private var value = 0

    var count: Int { lock.withLock { value } }
    func add() { lock.withLock { value += 1 } }
}
