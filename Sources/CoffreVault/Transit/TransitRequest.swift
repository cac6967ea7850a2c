internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreWire

/// The fields of one item of a transit request. Valid only while the request's body is lent.
struct TransitItem {
    private let view: JSONView?
    /// The `key_version` beside `batch_input`, which counts for items that do not say otherwise.
    private let commonVersion: JSONView?

    init(_ view: JSONView?, commonVersion: JSONView? = nil) {
        self.view = view
        self.commonVersion = commonVersion
    }

    func has(_ field: String) -> Bool { view?[field] != nil }

    /// - Throws: ``VaultError`` `.badRequest` when the field is no text.
    func text(_ field: String) throws(VaultError) -> String? {
        guard let value = view?[field] else { return nil }
        guard let text = value.string ?? value.numberText else {
            throw .badRequest("error converting input for field \"\(field)\": a text is expected")
        }
        return text
    }

    /// - Throws: ``VaultError`` `.badRequest` when the field is no base64; `prefix` goes before the reason.
    func decoded(_ field: String, prefix: String = "") throws(VaultError) -> SharedSecret? {
        guard let value = view?[field] else { return nil }
        guard value.isString || value.numberText != nil else {
            throw .badRequest("error converting input for field \"\(field)\": a text is expected")
        }
        return try TransitBase64.decode(value, prefix: prefix)
    }

    var associatedData: SharedSecret? {
        get throws(VaultError) { try decoded("associated_data", prefix: "associated_data: ") }
    }

    /// 0 when the request does not ask for one.
    var keyVersion: Int64 {
        get throws(VaultError) {
            guard let value = view?["key_version"] ?? commonVersion else { return 0 }
            guard let number = value.weakInteger else {
                throw .badRequest("error converting input for field \"key_version\": a whole number is expected")
            }
            return number
        }
    }

    /// - Throws: ``VaultError`` `.badRequest` when a key is to be derived: no key here is.
    func checkContext() throws(VaultError) {
        guard let context = view?["context"], context.stringCount != 0 else { return }
        throw .badRequest(
            "context is not available, because no key here is derived: leave it out, or bind the ciphertext by "
                + "associated_data"
        )
    }
}

/// What a transit operation answers for one item.
struct TransitAnswer {
    private(set) var object = ResponseBody()
    private var isEmpty = true
    /// Version of the key that was used; nil when none was.
    var version: Int64?

    mutating func add(_ name: String, _ value: JSONValue) {
        open(name)
        object.append(value.encoded())
    }

    /// Adds base64 or hex of a secret.
    mutating func add(_ name: String, secret: SharedSecret) {
        open(name)
        object.append(quotedSecret: secret)
    }

    private mutating func open(_ name: String) {
        object.append(text: "\(isEmpty ? "{" : ",")\"\(name)\":")
        isEmpty = false
    }

    mutating func close() { object.append(text: isEmpty ? "{}" : "}") }
}

/// How an operation deals with its items.
struct TransitOperation {
    /// The field without which an item is malformed as a whole, and what is said then.
    var required: (field: String, message: String)?
    /// Answers 400 when an item failed, or what the request asks for.
    var failsWhole = false
    /// What the answer of a failed item has besides the error.
    var besidesError: [JSONValue.Member] = []
    /// Fields that mean something.
    let known: Set<String>
}

extension Vault {
    private static let maximumItems = 1000
    /// Statuses with a body that say nothing else to clients, such as "sealed".
    private static let partialStatuses: Set<Int64> = Set(400...499).union([200, 201, 202, 203, 207])

    /// The items of a request: one without `batch_input`. Checks their form, not their values.
    private func transitItems(_ body: JSONView?, _ operation: TransitOperation) throws(VaultError) -> [TransitItem]? {
        guard let batch = body?["batch_input"] else { return nil }
        guard batch.isArray else { throw .badRequest("failed to parse batch input: an array is expected") }
        let elements = batch.elements
        guard !elements.isEmpty else { throw .badRequest("missing batch input to process") }
        guard elements.count <= Self.maximumItems else {
            throw .badRequest("batch_input has at most \(Self.maximumItems) items")
        }
        if TransitItem(body).has("associated_data") {
            throw .badRequest("associated_data belongs to each item of batch_input")
        }
        try TransitItem(body).checkContext()
        for (index, element) in elements.enumerated() {
            guard element.isObject else { throw .badRequest("failed to parse batch input: [\(index)] expected a map") }
            if let required = operation.required, element[required.field] == nil {
                throw .badRequest("failed to parse batch input: '[\(index)].\(required.field)' \(required.message)")
            }
            if let reference = element["reference"], !reference.isString {
                throw .badRequest("failed to parse batch input: '[\(index)].reference' expected type 'string'")
            }
        }
        let version = body?["key_version"]
        return elements.map { TransitItem($0, commonVersion: version) }
    }

    /// Whether some item of the request can be carried out, before something is made for it.
    /// - Throws: ``VaultError`` `.badRequest` when it cannot, and is no batch.
    func isTransitFeasible(
        _ context: RequestContext,
        _ operation: TransitOperation,
        _ check: (TransitItem) throws -> Void
    ) throws -> Bool {
        try withBody(context) { body in
            if let items = try transitItems(body, operation) {
                return items.contains { item in (try? check(item)) != nil }
            }
            try check(TransitItem(body))
            return true
        }
    }

    /// Carries out `perform` for each item of a request, or for the request itself.
    func answerTransit(
        _ context: RequestContext,
        _ what: AuditWhat,
        _ operation: TransitOperation,
        checkAll: ([TransitItem], Bool) throws -> Void = { _, _ in },
        _ perform: (TransitItem, inout TransitAnswer) throws -> Void
    ) throws -> Effect {
        try withBody(context) { body in
            let warnings = Self.unrecognized(
                body,
                operation.known.union(["batch_input", "partial_failure_response_code", "context"])
            )
            guard let items = try transitItems(body, operation) else {
                let item = TransitItem(body)
                try checkAll([item], false)
                try item.checkContext()
                var answer = TransitAnswer()
                try perform(item, &answer)
                answer.close()
                var what = what
                what.version = answer.version.map { Int($0) }
                var reply = Reply.data(answer.object)
                reply.warnings = warnings
                return Effect(reply, what: what)
            }
            try checkAll(items, true)
            return try answerBatch(items, body, what, operation, warnings, perform)
        }
    }

    private func answerBatch(
        _ items: [TransitItem],
        _ body: JSONView?,
        _ what: AuditWhat,
        _ operation: TransitOperation,
        _ warnings: [String],
        _ perform: (TransitItem, inout TransitAnswer) throws -> Void
    ) throws -> Effect {
        var results = ResponseBody(Array(#"{"batch_results":["#.utf8))
        var failed = 0
        var versions: Set<Int64> = []
        for (index, item) in items.enumerated() {
            var answer = TransitAnswer()
            do {
                try item.checkContext()
                try perform(item, &answer)
                if let version = answer.version { versions.insert(version) }
            } catch let error as VaultError where error.code == .badRequest {
                failed += 1
                answer = TransitAnswer()
                for member in operation.besidesError { answer.add(member.key, member.value) }
                answer.add("error", .string(error.message))
            }
            answer.add("reference", .string(try item.text("reference") ?? ""))
            answer.close()
            if index > 0 { results.append(text: ",") }
            results.append(answer.object)
        }
        results.append(text: "]}")
        var what = what
        what.version = versions.count == 1 ? versions.first.map { Int($0) } : nil
        what.details = [("failed", .int(Int64(failed))), ("items", .int(Int64(items.count)))]
        var reply = Reply.data(results)
        reply.warnings = warnings
        guard failed > 0, operation.failsWhole else { return Effect(reply, what: what) }
        reply.status = 400
        if failed < items.count, let code = body?["partial_failure_response_code"] {
            if let code = code.weakInteger, Self.partialStatuses.contains(code) {
                reply.status = Int(code)
            } else {
                reply.warnings.append(
                    "invalid HTTP response code override from partial_failure_response_code, reverting to 400"
                )
            }
        }
        return Effect(reply, what: what, failure: "bad_request")
    }
}
