internal import CoffreWire

/// Why a connection does not work, and what to do about it, in the languages of the product.
struct ConnectionFailure: Sendable {
    let code: String
    let english: String
    let french: String

    init(code: String, english: String, french: String) {
        (self.code, self.english, self.french) = (code, english, french)
    }

    var json: JSONValue { ["code": .string(code), "en": .string(english), "fr": .string(french)] }

    init(_ failure: BrokerFailure) {
        switch failure.code {
        case .dns:
            code = "dns"
            english = "The server's name has no address: check the field host, and the DNS of the broker's machine."
            french = "Le nom du serveur n’a pas d’adresse : vérifiez le champ hôte et le DNS de la machine du courtier."
        case .refused:
            code = "refused"
            english =
                "Nothing answers at that address and port: check host and port, the server, and firewalls on the way."
            french = "Rien ne répond à cette adresse et ce port : vérifiez hôte, port, serveur et pare-feu."
        case .egressDenied:
            code = "egress"
            english = "The broker may not connect there: an operator adds the address to allow in broker.toml."
            french = "Le courtier n’y est pas autorisé : un opérateur ajoute l’adresse à allow dans broker.toml."
        case .tls:
            code = "tls"
            english =
                "The server offers no TLS that can be trusted: check its certificate and name, or enter its authority in ca_certificate."
            french =
                "Le serveur n’offre pas de TLS digne de confiance : vérifiez son certificat et son nom, ou saisissez son autorité dans ca_certificate."
        case .authentication:
            code = "credentials"
            english = "The server does not accept the user name or password, or they have expired: enter them again."
            french = "Le serveur refuse l’utilisateur ou le mot de passe, ou ils ont expiré : saisissez-les à nouveau."
        case .rights:
            code = "rights"
            english = "The account lacks a right for this: grant it in the database, or use another account."
            french = "Il manque un droit à ce compte : accordez-le dans la base, ou utilisez un autre compte."
        case .timeout:
            code = "timeout"
            english = "The server did not answer in time: it may be overloaded, or a firewall drops the packets."
            french = "Le serveur n’a pas répondu à temps : surcharge, ou pare-feu qui ignore les paquets."
        case .unavailable:
            code = "unavailable"
            english = "The server or the broker cannot take work now: try again later."
            french = "Le serveur ou le courtier est indisponible pour le moment : réessayez plus tard."
        case .statement, .malformed, .reply:
            code = "reply"
            english = "The server answered what a PostgreSQL server would not: check host and port."
            french = "La réponse n’est pas celle d’un serveur PostgreSQL : vérifiez hôte et port."
        }
    }
}
