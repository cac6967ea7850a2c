import CCoffreCatalogue
import CoffreWire

/// What Coffre knows of the systems whose credentials it keeps.
package struct Catalogue: Sendable {
    /// A shelf of the catalogue.
    package struct Category: Sendable, Equatable {
        /// `[a-z0-9-]`.
        package let id: String
        /// For people.
        package let label: Bilingual
    }

    /// Names of ids, for people.
    package struct Labels: Sendable {
        /// Of ``Connector/AuthKind``.
        package let auth: [String: Bilingual]
        /// Of ``Connector/RotationKind``.
        package let rotation: [String: Bilingual]
        /// Of ``Connector/RevocationKind``.
        package let revocation: [String: Bilingual]
        /// Of ``Connector/HealthKind``.
        package let healthCheck: [String: Bilingual]
        /// Of ``Connector/Confidence``.
        package let confidence: [String: Bilingual]
    }

    /// The catalogue that is part of the program. Read at the first use, which takes some milliseconds.
    package static let shared: Catalogue = {
        let bytes = UnsafeRawBufferPointer(start: coffre_catalogue(), count: coffre_catalogue_bytes())
        do throws(CatalogueError) {
            return try Catalogue(parsing: bytes)
        } catch {
            let defect = "the catalogue of the program: \(error.place): \(error.reason)"
            fatalError(defect)  // The build put it there and a test has read it: only a bug leads here.
        }
    }()

    /// Month in which the facts were read, as in `2026-11`.
    package let asOf: String
    /// Shelves, in the order of the product.
    package let categories: [Category]
    /// Names of ids.
    package let labels: Labels
    /// What may be special about a service's OAuth, by key.
    package let quirks: [String: Bilingual]
    /// Sorted by id.
    package let connectors: [Connector]
    /// The compact answer to `connectors/catalogue`, UTF-8: see ``list``.
    package let listJSON: [UInt8]

    init(
        asOf: String,
        categories: [Category],
        labels: Labels,
        quirks: [String: Bilingual],
        connectors: [Connector]
    ) {
        self.asOf = asOf
        self.categories = categories
        self.labels = labels
        self.quirks = quirks
        self.connectors = connectors
        listJSON = Self.list(asOf, categories, connectors).encoded()
    }

    /// The connector with this id.
    package subscript(id: String) -> Connector? { connectors.first { $0.id == id } }

    /// The shelf with this id.
    package func category(_ id: String) -> Category? { categories.first { $0.id == id } }

    /// The id that `id` was probably meant to be, nil when none is near.
    package func nearestID(to id: String) -> String? { NearestName.of(id, among: connectors.map(\.id)) }
}
