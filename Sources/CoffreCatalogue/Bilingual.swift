/// A text of the catalogue in both languages of the product.
package struct Bilingual: Sendable, Equatable {
    /// In English.
    package let english: String
    /// In French.
    package let french: String

    /// A text in both languages.
    package init(_ english: String, _ french: String) {
        self.english = english
        self.french = french
    }
}
