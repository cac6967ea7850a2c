/// How much, at an hour of the day.
extension Detector {
    private static let windows: [(spans: Int, least: Float)] = [(1, 18), (3, 26), (6, 36), (12, 50)]

    func checkPace(_ event: InsightEvent, _ actor: ActorProfile, _ now: Int64) {
        let span = now / (10 * Span.minute)
        advance(actor, to: span, now)
        let newest = actor.spans.count - 1
        actor.spans[newest] &+= actor.spans[newest] == .max ? 0 : 1
        actor.usesThisHour &+= actor.usesThisHour == .max ? 0 : 1
        guard isSettled(actor, now), actor.activeDays > 3 else { return }
        for index in Self.windows.indices {
            let window = Self.windows[index]
            let count = sum(of: actor, spans: window.spans)
            guard count >= window.least, count > actor.most[index] * 1.15 + 3 else { continue }
            let isSteady = actor.kind == .service && isSteady(actor, now)
            let expected = expectedUses(actor, now, spans: window.spans)
            // More than ever by far, or more than ever and not at its hour.
            let isMore = count > actor.most[index] * (isSteady ? 1.5 : 2.2) + 6 && count > 2.6 * expected + 10
            let isMisplaced = isSteady && count > actor.most[index] * 1.15 + 3 && count > 4.5 * expected + 15
            guard isMore || isMisplaced else { continue }
            // Bursts are the habit of some: only what comes faster than theirs is unusual.
            if window.spans > 3, !isSteady { continue }
            let minutes = window.spans * 10
            tell(
                .rateSpike,
                of: actor,
                score: min(0.96, 0.6 + 0.1 * Double(count / max(actor.most[index], 8))),
                records: [event.sequence],
                at: now,
                pause: 3 * Span.hour,
                french:
                    "\(actor.shownName) demande \(Int(count)) secrets en \(minutes) min (habitude à cette heure : \(tenths(expected, ",")), au plus \(Int(actor.most[index])))",
                english:
                    "\(actor.shownName) asks for \(Int(count)) secrets in \(minutes) min (habit at this hour: \(tenths(expected)), at most \(Int(actor.most[index])))"
            )
            return
        }
    }

    private func sum(of actor: ActorProfile, spans: Int) -> Float {
        var sum = 0
        for index in (actor.spans.count - spans)..<actor.spans.count { sum += Int(actor.spans[index]) }
        return Float(sum)
    }

    private func advance(_ actor: ActorProfile, to span: Int64, _ now: Int64) {
        let steps = span - actor.span
        if steps < -6 {
            // The clock was ahead.
            for index in actor.spans.indices { actor.spans[index] = 0 }
            actor.span = span
        } else if steps > 0 {
            if actor.span != 0, !wasTold(.rateSpike, of: actor, within: 3 * Span.hour, at: now),
                !wasTold(.massEnumeration, of: actor, within: 3 * Span.hour, at: now)
            {
                for index in Self.windows.indices {
                    actor.most[index] = max(actor.most[index], sum(of: actor, spans: Self.windows[index].spans))
                }
            }
            let moved = Int(min(steps, Int64(actor.spans.count)))
            for index in actor.spans.indices {
                actor.spans[index] = index + moved < actor.spans.count ? actor.spans[index + moved] : 0
            }
            actor.span = span
        }
        let hour = (now / Span.second + utcOffset) / 3600
        guard hour != actor.hour else { return }
        if actor.hour != 0 {
            // Hours without any use count too, two days back at most. A saved state may come from another time zone.
            for past in max(min(actor.hour, hour), hour - 48)..<hour {
                let uses = past == actor.hour ? Float(actor.usesThisHour) : 0
                let place = slot(ofHour: past)
                let rate: Float = actor.activeDays < 8 ? 0.25 : 0.12
                actor.pace[place] += Float16(rate * (uses - Float(actor.pace[place])))
            }
        }
        actor.hour = hour
        actor.usesThisHour = 0
    }

    private func slot(ofHour hour: Int64) -> Int {
        Int((hour % 24 + 24) % 24) + (isDayOff(Int32(clamping: hour / 24)) ? 24 : 0)
    }

    private func expectedUses(_ actor: ActorProfile, _ now: Int64, spans: Int) -> Float {
        let hour = (now / Span.second + utcOffset) / 3600
        let mean = Float(max(actor.pace[slot(ofHour: hour)], actor.pace[slot(ofHour: hour - 1)]))
        return mean * Float(spans) / 6
    }

    private func isSteady(_ actor: ActorProfile, _ now: Int64) -> Bool {
        // Active in most spans of the last hours before this.
        let active = actor.spans.indices.dropLast().count { actor.spans[$0] > 0 }
        return active >= 9
    }
}
