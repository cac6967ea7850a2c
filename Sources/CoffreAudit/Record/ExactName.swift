/// A name compared by its bytes. `String` calls two spellings of an accented letter equal; here they are two names.
struct ExactName: Hashable, Sendable {
    let text: String

    static func == (left: ExactName, right: ExactName) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}
