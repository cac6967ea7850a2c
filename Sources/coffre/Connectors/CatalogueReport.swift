import CoffreCatalogue
import CoffreWire

/// Prints connectors as a table, as JSON or as CSV. In CSV everything but the name is an id: the same in every language.
struct CatalogueReport: Sendable {
    let console: Console
    private let format: ConnectorCommand.Format
    private let catalogue = Catalogue.shared

    init(_ format: ConnectorCommand.Format, _ language: Language) {
        self.format = format
        console = Console(format: format == .json ? .json : .table, language: language)
    }

    private func text(_ text: Bilingual) -> String {
        Message(text.english, text.french).text(console.language)
    }

    private func text(_ english: String, _ french: String) -> String {
        Message(english, french).text(console.language)
    }

    private func label(_ id: String, _ labels: [String: Bilingual]) -> String { labels[id].map(text) ?? id }

    // MARK: A list

    func show(_ connectors: [Connector]) {
        switch format {
        case .json: console.json(.array(connectors.map(\.entry)))
        case .csv:
            console.write(
                CSV.line(["id", "name", "category", "auth", "rotation", "revocation", "health_check", "confidence"])
            )
            for connector in connectors { console.write(CSV.line(ids(of: connector))) }
        case .table:
            guard !connectors.isEmpty else { return }
            let header = [
                text("Type", "Type"), text("Name", "Nom"), text("Category", "Catégorie"), text("Rotation", "Rotation"),
                text("Revocation", "Révocation"), text("Confidence", "Confiance"), text("Sign-in", "Authentification"),
            ]
            console.table(header, connectors.map(cells))
        }
    }

    private func ids(of connector: Connector) -> [String] {
        [
            connector.id, text(connector.label), connector.category,
            connector.auth.map(\.rawValue).joined(separator: " "), connector.rotation.kind.rawValue,
            connector.revocation.kind.rawValue, connector.healthCheck.kind.rawValue, connector.confidence.rawValue,
        ]
    }

    private func cells(of connector: Connector) -> [String] {
        [
            connector.id, text(connector.label), category(of: connector),
            label(connector.rotation.kind.rawValue, catalogue.labels.rotation),
            label(connector.revocation.kind.rawValue, catalogue.labels.revocation),
            label(connector.confidence.rawValue, catalogue.labels.confidence), auth(of: connector),
        ]
    }

    private func category(of connector: Connector) -> String {
        catalogue.category(connector.category).map { text($0.label) } ?? connector.category
    }

    private func auth(of connector: Connector) -> String {
        connector.auth.map { label($0.rawValue, catalogue.labels.auth) }.joined(separator: ", ")
    }

    // MARK: One connector

    func show(_ connector: Connector) {
        switch format {
        case .json: console.json(connector.form)
        case .csv:
            console.write(CSV.line(["field", "label", "type", "required", "secret", "confidence", "default"]))
            for field in connector.fields {
                console.write(
                    CSV.line([
                        field.name, text(field.label), field.kind.rawValue, String(field.isRequired),
                        String(field.isSecret), field.certainty.rawValue, field.defaultValue.map(Console.cell) ?? "",
                    ])
                )
            }
        case .table:
            console.line(console.bold(text(connector.label)) + ": " + text(connector.summary))
            console.line("")
            showFields(connector)
            showFacts(connector)
            if let oauth = connector.oauth { show(oauth) }
            show(list: connector.unknown, text("Not known", "Ce qui n'est pas connu"))
        }
    }

    private func showFields(_ connector: Connector) {
        let header = [
            text("Field", "Champ"), text("Type", "Type"), text("Required", "Requis"), text("Secret", "Secret"),
            text("Form", "Forme"), text("Meaning", "Sens"),
        ]
        let certainties: [ConnectorField.Certainty: String] = [
            .certain: text("certain", "certaine"), .likely: text("likely", "probable"),
            .unknown: text("unknown", "inconnue"),
        ]
        console.table(
            header,
            connector.fields.map { field in
                [
                    field.name, field.kind.rawValue, console.yes(field.isRequired), console.yes(field.isSecret),
                    certainties[field.certainty] ?? "", text(field.help),
                ]
            }
        )
        for group in connector.oneOf {
            let names = group.joined(separator: ", ")
            console.line(text("At least one of: \(names).", "Au moins un parmi : \(names)."))
        }
    }

    private func showFacts(_ connector: Connector) {
        let labels = catalogue.labels
        let check = connector.healthCheck
        show([
            (text("Category", "Catégorie"), category(of: connector)),
            (text("Sign-in", "Authentification"), auth(of: connector)),
            (text("Confidence", "Confiance"), label(connector.confidence.rawValue, labels.confidence)),
            (text("Health check", "Contrôle"), label(check.kind.rawValue, labels.healthCheck)),
            ("", [check.method, check.url].compactMap(\.self).joined(separator: " ")),
            ("", text(check.expect)),
            (text("Rotation", "Rotation"), label(connector.rotation.kind.rawValue, labels.rotation)),
            ("", text(connector.rotation.how)),
            (text("Revocation", "Révocation"), label(connector.revocation.kind.rawValue, labels.revocation)),
            ("", text(connector.revocation.how)),
        ])
    }

    private func show(_ oauth: ConnectorOAuth) {
        let none = text("not published, or without end", "non publiée, ou sans fin")
        let life = { (seconds: Int64?) in seconds.map { "\($0) s" } ?? none }
        var rows: [(String, String)] = [
            (text("Consent", "Consentement"), oauth.authorizationURL ?? "-"), (text("Token", "Jeton"), oauth.tokenURL),
            (text("Revocation", "Révocation"), oauth.revocationURL ?? "-"),
            (text("Device", "Appareil"), oauth.deviceURL ?? "-"),
            (text("Scopes", "Portées"), oauth.scopes.isEmpty ? "-" : oauth.scopes.joined(separator: " ")),
            ("PKCE", oauth.pkce.rawValue),
            (text("Access lives", "L'accès vit"), life(oauth.accessTokenSeconds)),
            (text("Idle refresh lives", "Au repos"), life(oauth.refreshIdleSeconds)),
        ]
        if let grant = oauth.grantSeconds {
            rows.append((text("Consent lives", "Le consentement vit"), life(grant)))
        }
        console.line("")
        console.line(console.bold("OAuth"))
        show(rows, isApart: false)
        show(list: oauth.quirks.compactMap { catalogue.quirks[$0] }, text("Mind", "À savoir"))
    }

    private func show(_ rows: [(String, String)], isApart: Bool = true) {
        let width = rows.map(\.0.count).max() ?? 0
        if isApart { console.line("") }
        for (name, value) in rows where !value.isEmpty {
            console.line(name + String(repeating: " ", count: width - name.count) + "  " + value)
        }
    }

    private func show(list: [Bilingual], _ title: String) {
        guard !list.isEmpty else { return }
        console.line("")
        console.line(console.bold(title))
        for sentence in list { console.line("- " + text(sentence)) }
    }
}
