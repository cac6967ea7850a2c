internal import Glibc

/// Refused log-ins, by who the kernel says tried.
extension Detector {
    func refused(_ event: InsightEvent, _ now: Int64) {
        let key = state.hash(event.actor)
        if let actor = state.actors[key] { checkDormancy(event, actor, now) }
        let sourceKey = state.hash(event.kernel, event.unit)
        if state.sources[sourceKey] == nil {
            if state.sources.count >= InsightState.mostSources {
                func last(_ entry: (key: UInt64, value: InsightState.Source)) -> (Int64, UInt64) {
                    (entry.value.refusals.last?.time ?? 0, entry.key)
                }
                guard let oldest = state.sources.min(by: { last($0) < last($1) }) else { return }
                state.sources[oldest.key] = nil
            }
            state.sources[sourceKey] = InsightState.Source(name: "uid:" + ActorProfile.shown(event.kernel), since: now)
        }
        guard var source = state.sources[sourceKey] else { return }
        state.sources[sourceKey] = nil
        defer { state.sources[sourceKey] = source }
        source.refusals.removeAll { !((now - 10 * Span.hour)...now).contains($0.time) }
        if source.refusals.count >= InsightState.mostRefusals { source.refusals.removeFirst() }
        source.refusals.append(.init(time: now, actor: key, sequence: event.sequence))
        let count = source.refusals.count
        check(&source, now)
        // What was told of is no habit.
        let isTold = source.wasTold(at: now)
        if source.refusals.isEmpty {
            source.habit.add(-min(Float(count - 1), source.habit.value), at: now, halfLife: 10)
        } else if !isTold {
            source.habit.add(1, at: now, halfLife: 10)
        }
    }

    private func check(_ source: inout InsightState.Source, _ now: Int64) {
        guard !source.wasTold(at: now) else { return }
        // Refusals a day as a habit: the sum of what fades with a half-life of 10 days, over 14.4 days.
        let days = Float(Double(now - state.begin) / Span.day)
        let effective = 14.4 * (1 - exp2f(-max(days, 1) / 10))
        let habit = max(source.habit.read(at: now, halfLife: 10) / effective, 0.15)
        for (hours, least) in [(Float(0.25), 6), (1, 6), (3, 7), (10, 8)] {
            let since = now - Int64(Double(hours) * Double(Span.hour))
            let recent = source.refusals.filter { $0.time >= since }
            let identities = Set(recent.map(\.actor)).count
            // Most of a day's log-ins come in its first hours.
            let expected = habit * min(1, hours / 4)
            let isWide = identities >= least && Float(identities) > expected + 5 * expected.squareRoot() + 1
            let isDeep = identities < 3 && recent.count >= 25 && hours <= 1
            guard isWide || isDeep else { continue }
            source.told = now
            source.refusals.removeAll()
            let minutes = max(1, (now - (recent.first?.time ?? now)) / Span.minute)
            tell(
                .deniedBurst,
                source.name,
                min(0.97, 0.7 + 0.02 * Double(identities)),
                recent.map(\.sequence),
                at: now,
                french:
                    "\(recent.count) connexions refusées vers \(identities) identités en \(minutes) min depuis \(source.name) (habitude : \(tenths(habit, ",")) par jour)",
                english:
                    "\(recent.count) log-ins refused over \(identities) identities in \(minutes) min from \(source.name) (habit: \(tenths(habit)) a day)"
            )
            return
        }
    }

    /// A password that was mistyped and then was right is no attempt at anything.
    func loggedIn(_ event: InsightEvent, _ key: UInt64, _ now: Int64) {
        let sourceKey = state.hash(event.kernel, event.unit)
        state.sources[sourceKey]?.refusals.removeAll { $0.actor == key && $0.time > now - 15 * Span.minute }
    }

    /// - Parameter point: between units and tenths; a comma in French.
    func tenths(_ value: Float, _ point: Character = ".") -> String {
        let number = Int((value * 10).rounded())
        return "\(number / 10)\(point)\(number % 10)"
    }
}
