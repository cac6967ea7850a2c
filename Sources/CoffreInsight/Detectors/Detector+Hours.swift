/// When people are there.
extension Detector {
    func checkHours(_ event: InsightEvent, _ key: UInt64, _ actor: ActorProfile, _ now: Int64) {
        let hour = localHour(now)
        // What the portal or a program renews is nobody's presence.
        guard event.operation != .renew, event.operation != .revoke else { return }
        notePresence(key, now)
        let isFirst = actor.hoursToday & (1 << UInt32(hour)) == 0
        guard isFirst else { return }
        actor.hoursToday |= 1 << UInt32(hour)
        let day = localDay(now)
        let isOff = isDayOff(day)
        let isNight = hour >= 22 || hour < 6
        defer {
            // What was told of is no habit.
            if !wasTold(.offHoursAccess, of: actor, within: 14 * Span.hour, at: now) {
                if isNight {
                    actor.nights.add(1, at: now, halfLife: 40)
                }
                if isOff { actor.daysOff.add(1, at: now, halfLife: 40) }
            }
        }
        guard isSettled(actor, now), actor.activeDays > 3 || actor.isOld && now - state.begin > 4 * Span.dayLength
        else { return }
        let base = isOff ? 24 : 0
        let own = (-1...1).reduce(Float(0)) { $0 + Float(actor.hours[base + (hour + $1 + 24) % 24]) }
        guard own < 0.4 else { return }
        // Distance from the hours that are its own on workdays.
        let distance = distanceFromHabit(actor, hour)
        let company = state.peopleNow.contains { $0 != key } || state.peopleBefore.contains { $0 != key }
        let isDeep = hour < 6 && distance >= 3 || hour >= 22 && distance >= 4
        // Who takes turns at night is known by several of them, or by one in a team that edits rights. While there were no
        // weeks to learn that, such a team is believed.
        let nights = actor.nights.read(at: now, halfLife: 40)
        let isOnDuty = state.nightTeams & actor.teams != 0
        let onCall = nights >= 1.5 || isOnDuty && (nights >= 0.5 || now - state.begin < 9 * Span.dayLength)
        let worksOff = actor.daysOff.read(at: now, halfLife: 40) >= 0.5
        let isUnusual: Bool
        if isOff && !isNight {
            // One weekend is no habit.
            isUnusual = !worksOff && !onCall && now - state.begin > 12 * Span.dayLength
        } else {
            isUnusual = isDeep && !onCall && !(hour >= 22 && company)
        }
        guard isUnusual else { return }
        tell(
            .offHoursAccess,
            of: actor,
            score: isDeep ? 0.85 : 0.7,
            records: [event.sequence],
            at: now,
            pause: 6 * Span.hour,
            french: isOff && !isNight
                ? "\(actor.shownName) travaille à \(hour) h un jour de repos, ce qui ne lui est pas arrivé depuis des semaines"
                : "\(actor.shownName) est actif à \(hour) h, à \(distance) h de ses heures habituelles, ce qui ne lui est pas arrivé depuis des semaines",
            english: isOff && !isNight
                ? "\(actor.shownName) works at \(hour):00 on a day off, which has not happened for weeks"
                : "\(actor.shownName) is active at \(hour):00, \(distance) h from its usual hours, which has not happened for weeks"
        )
    }

    /// Hours to the nearest in which it is usually active on workdays.
    private func distanceFromHabit(_ actor: ActorProfile, _ hour: Int) -> Int {
        let days = max(actor.daysCounted[0], 1)
        return (0..<24).filter { Float(actor.hours[$0]) / days > 0.15 }.map { min(abs($0 - hour), 24 - abs($0 - hour)) }
            .min() ?? 12
    }

    private func notePresence(_ key: UInt64, _ now: Int64) {
        let hour = now / Span.hour
        if hour != state.peopleHour {
            state.peopleBefore = hour == state.peopleHour + 1 ? state.peopleNow : []
            state.peopleNow.removeAll(keepingCapacity: true)
            state.peopleHour = hour
        }
        if state.peopleNow.count < 8, !state.peopleNow.contains(key) { state.peopleNow.append(key) }
    }

    /// The hours of a day become habit when it is over.
    func endDay(_ actor: ActorProfile) {
        guard actor.hoursToday != 0 else { return }
        let isOff = isDayOff(actor.day)
        let base = isOff ? 24 : 0
        for hour in 0..<24 {
            let place = base + hour
            actor.hours[place] *= 0.966
            if actor.hoursToday & (1 << UInt32(hour)) != 0 { actor.hours[place] += 1 }
        }
        actor.daysCounted[isOff ? 1 : 0] = actor.daysCounted[isOff ? 1 : 0] * 0.966 + 1
    }
}
