extension Catalogue {
    /// The connectors in which each word of `words` stands: in id, name, summary, category or way of signing in, in English
    /// or French, whatever its case and accents.
    ///
    /// - Parameter words: at most 256 bytes count.
    /// - Returns: those first whose id or name begins with one of the words, then those that have one in id or name, then
    ///   the others; each part by id. All of them when there is no word.
    package func search(_ words: String) -> [Connector] {
        let text = String(decoding: words.utf8.prefix(256), as: UTF8.self)
        let all = folded(text).split(separator: " ").map(String.init)
        let telling = all.filter { !littleWords.contains($0) }
        let wanted = telling.isEmpty ? all : telling
        var ranked: [(rank: Int, connector: Connector)] = []
        for connector in connectors {
            let names = [connector.id, connector.label.english, connector.label.french].map(folded)
            let rest = folded(described(connector))
            guard wanted.allSatisfy({ word in names.contains { $0.contains(word) } || rest.contains(word) }) else {
                continue
            }
            let begins =
                wanted.isEmpty || wanted.contains { word in names.contains { $0.utf8.starts(with: word.utf8) } }
            let rank = begins ? 0 : wanted.contains { word in names.contains { $0.contains(word) } } ? 1 : 2
            ranked.append((rank, connector))
        }
        return (0...2).flatMap { rank in ranked.filter { $0.rank == rank }.map(\.connector) }
    }

    /// The shelf that a person means by `words`: its id, or its name in either language.
    package func category(named words: String) -> Category? {
        let wanted = folded(words)
        return categories.first { category in
            [category.id, category.label.english, category.label.french].contains { folded($0) == wanted }
        }
    }

    private func described(_ connector: Connector) -> String {
        let texts =
            [connector.summary, category(connector.category)?.label].compactMap(\.self)
            + connector.auth.compactMap { labels.auth[$0.rawValue] }
        return texts.map { "\($0.english) \($0.french)" }.joined(separator: " ")
    }
}

/// `text` without accents and capitals, every run of other signs as one space.
///
/// Latin letters of French and its neighbours, and of any writing that has them decomposed; no Foundation in the daemons.
func folded(_ text: String) -> String {
    var output = ""
    var isSpaced = true
    for scalar in text.lowercased().unicodeScalars {
        if (0x300...0x36f).contains(scalar.value) { continue }
        let plain = plainLetters[scalar] ?? (scalar.properties.isAlphabetic || scalar.isDigit ? String(scalar) : " ")
        if plain == " " {
            if !isSpaced { output += " " }
            isSpaced = true
        } else {
            output += plain
            isSpaced = false
        }
    }
    return isSpaced && !output.isEmpty ? String(output.dropLast()) : output
}

extension Unicode.Scalar {
    fileprivate var isDigit: Bool { ("0"..."9").contains(self) }
}

/// Words of questions that tell nothing: "paie du personnel".
private let littleWords: Set<String> = [
    "and", "d", "de", "des", "du", "et", "l", "la", "le", "les", "of", "the",
]

private let plainLetters: [Unicode.Scalar: String] = {
    let families: [(String, String)] = [
        ("a", "àáâãäå"), ("c", "ç"), ("e", "èéêë"), ("i", "ìíîï"), ("n", "ñ"), ("o", "òóôõöø"), ("u", "ùúûü"),
        ("y", "ýÿ"), ("ae", "æ"), ("oe", "œ"), ("ss", "ß"),
    ]
    var letters: [Unicode.Scalar: String] = [:]
    for (plain, accented) in families {
        for scalar in accented.unicodeScalars { letters[scalar] = plain }
    }
    return letters
}()
