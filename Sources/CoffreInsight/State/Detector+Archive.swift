extension Detector {
    /// Everything that is remembered, so that ``init(restoring:context:)`` goes on as if nothing had been between.
    package func saved() -> [UInt8] {
        var archive = Archive(
            expecting: state.actors.count * 2048 + (state.tokens.count + state.olderTokens.count) * 112 + (1 << 20)
        )
        // Writing does not fail.
        try? archive.state(&state)
        return archive.finished()
    }

    /// - Parameter context: for the time zone and the days off; what it says of identities is in the state already.
    /// - Throws: ``ArchiveError``.
    package convenience init(restoring bytes: [UInt8], context: InsightContext) throws(ArchiveError) {
        var archive = try Archive(reading: bytes)
        var state = InsightState(hash: SipHash(key0: 0, key1: 0))
        try archive.state(&state)
        guard archive.isAtEnd else { throw ArchiveError(message: "something follows the saved state") }
        self.init(state, context)
    }
}

extension Archive {
    mutating func state(_ state: inout InsightState) throws(ArchiveError) {
        var (key0, key1) = (state.hash.key0, state.hash.key1)
        try value(&key0)
        try value(&key1)
        if isReading { state.hash = SipHash(key0: key0, key1: key1) }
        try list(&state.teamNames, atMost: 64, of: "") { (archive, name) throws(ArchiveError) in
            try archive.value(&name)
        }
        try table(
            &state.actors,
            atMost: InsightState.mostActors + 1,
            of: { ActorProfile(name: "", kind: .user, at: 0) }
        ) {
            (archive, actor) throws(ArchiveError) in try archive.profile(actor)
        }
        for path in [\InsightState.tokens, \InsightState.olderTokens] {
            try table(
                &state[keyPath: path],
                atMost: InsightState.mostTokens,
                of: { InsightState.TokenBinding(kernel: 0, unit: 0, pid: 0, actor: 0) }
            ) { (archive, token) throws(ArchiveError) in
                try archive.value(&token.kernel)
                try archive.value(&token.unit)
                try archive.value(&token.pid)
                try archive.value(&token.actor)
                try archive.time(&token.since)
                try archive.value(&token.uses)
                try archive.value(&token.otherPid)
                try archive.time(&token.otherTime)
                try archive.value(&token.otherRecord)
                try archive.value(&token.isShared)
            }
        }
        try table(&state.secrets, atMost: 2 * InsightState.mostSecrets, of: { InsightState.SecretMemory() }) {
            (archive, secret) throws(ArchiveError) in
            try archive.value(&secret.allowed)
            try archive.value(&secret.used)
            try archive.value(&secret.isSensitive)
            try archive.value(&secret.isListed)
        }
        try table(&state.sources, atMost: InsightState.mostSources, of: { InsightState.Source(name: "", since: 0) }) {
            (archive, source) throws(ArchiveError) in try archive.source(&source)
        }
        try list(
            &state.edits,
            atMost: InsightState.mostEdits,
            of: InsightState.Edit(time: 0, author: 0, object: 0, team: 0, sequence: 0)
        ) { (archive, edit) throws(ArchiveError) in
            try archive.time(&edit.time)
            try archive.value(&edit.author)
            try archive.value(&edit.object)
            try archive.value(&edit.team)
            try archive.value(&edit.sequence)
            try archive.value(&edit.isUsed)
        }
        try table(
            &state.rotations,
            atMost: InsightState.mostRotations,
            of: { InsightState.Rotation(actor: 0, name: "") }
        ) {
            (archive, rotation) throws(ArchiveError) in
            try archive.gaps(&rotation.gaps)
            try archive.value(&rotation.actor)
            try archive.value(&rotation.name)
        }
        try table(
            &state.touches,
            atMost: InsightState.mostTouches,
            of: { InsightState.Touch(actor: 0, time: 0) }
        ) { (archive, touch) throws(ArchiveError) in
            try archive.value(&touch.actor)
            try archive.time(&touch.time)
        }
        try time(&state.begin)
        try time(&state.now)
        try time(&state.lastTime)
        var next = state.nextSequence ?? .max
        try value(&next)
        state.nextSequence = next == .max ? nil : next
        try time(&state.nextCheck)
        try time(&state.disorderTold)
        for path in [\InsightState.peopleNow, \InsightState.peopleBefore] {
            try list(&state[keyPath: path], atMost: 8, of: 0) { (archive, key) throws(ArchiveError) in
                try archive.value(&key)
            }
        }
        try time(&state.peopleHour)
        try value(&state.nightTeams)
    }

    private mutating func profile(_ actor: ActorProfile) throws(ArchiveError) {
        try value(&actor.name)
        var kind = actor.kind.rawValue
        try value(&kind)
        guard let kind = InsightEvent.ActorKind(rawValue: kind) else {
            throw ArchiveError(message: "an identity in the saved state has no kind")
        }
        actor.kind = kind
        try value(&actor.teams)
        try time(&actor.firstSeen)
        try time(&actor.lastSeen)
        try value(&actor.isOld)
        try value(&actor.isRetired)
        try time(&actor.registered)
        try value(&actor.activeDays)
        try value(&actor.day)
        try value(&actor.longestAbsence)
        try list(&actor.secrets, atMost: ActorProfile.mostSecrets, of: .init(key: 0, day: 0, use: .read)) {
            (archive, secret) throws(ArchiveError) in
            var (key, day, use) = (secret.key, secret.day, secret.use.rawValue)
            try archive.value(&key)
            try archive.value(&day)
            try archive.value(&use)
            secret = .init(key: key, day: day, use: .init(rawValue: use) ?? .read)
        }
        try list(&actor.formerSecrets, atMost: 16, of: 0) { (archive, word) throws(ArchiveError) in
            try archive.value(&word)
        }
        try list(&actor.novelties, atMost: ActorProfile.mostNovelties, of: .init(time: 0, weight: 0, sequence: 0)) {
            (archive, novelty) throws(ArchiveError) in
            try archive.time(&novelty.time)
            try archive.value(&novelty.weight)
            try archive.value(&novelty.sequence)
        }
        try list(&actor.sweep, atMost: ActorProfile.mostNovelties, of: 0) { (archive, record) throws(ArchiveError) in
            try archive.value(&record)
        }
        try value(&actor.sweepCount)
        try time(&actor.sweepStart)
        try decayed(&actor.slow)
        try value(&actor.connectorsOfFirstDay)
        try value(&actor.secretsOfFirstDay)
        try fixed(&actor.hours) { (archive, hour) throws(ArchiveError) in try archive.value(&hour) }
        try fixed(&actor.daysCounted) { (archive, days) throws(ArchiveError) in try archive.value(&days) }
        try value(&actor.hoursToday)
        try decayed(&actor.nights)
        try decayed(&actor.daysOff)
        try fixed(&actor.spans) { (archive, uses) throws(ArchiveError) in try archive.value(&uses) }
        try time(&actor.span)
        try fixed(&actor.most) { (archive, uses) throws(ArchiveError) in try archive.value(&uses) }
        try fixed(&actor.pace) { (archive, uses) throws(ArchiveError) in try archive.value(&uses) }
        try value(&actor.usesThisHour)
        try time(&actor.hour)
        try gaps(&actor.gaps)
        try gaps(&actor.rotations)
        for place in Finding.Kind.allCases.indices { try value(&actor.told[place]) }
        try decayed(&actor.edits)
    }

    /// An array whose length is part of the form.
    private mutating func fixed<let count: Int, T>(
        _ list: inout InlineArray<count, T>,
        _ each: (inout Archive, inout T) throws(ArchiveError) -> Void
    ) throws(ArchiveError) {
        for index in list.indices { try each(&self, &list[index]) }
    }

    private mutating func decayed(_ sum: inout Decayed) throws(ArchiveError) {
        try value(&sum.value)
        try time(&sum.time)
    }

    private mutating func gaps(_ gaps: inout GapMemory) throws(ArchiveError) {
        try time(&gaps.first)
        try time(&gaps.last)
        try value(&gaps.longest)
        try value(&gaps.count)
        try value(&gaps.isTold)
    }

    private mutating func source(_ source: inout InsightState.Source) throws(ArchiveError) {
        try value(&source.name)
        try list(&source.refusals, atMost: InsightState.mostRefusals, of: .init(time: 0, actor: 0, sequence: 0)) {
            (archive, refusal) throws(ArchiveError) in
            try archive.time(&refusal.time)
            try archive.value(&refusal.actor)
            try archive.value(&refusal.sequence)
        }
        try decayed(&source.habit)
        // Never, or a time.
        var (isTold, told) = (source.told != .min, source.told == .min ? 0 : source.told)
        try value(&isTold)
        try time(&told)
        if isReading { source.told = isTold ? told : .min }
        try time(&source.since)
    }
}
