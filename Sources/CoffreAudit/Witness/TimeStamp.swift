internal import CoffreCrypto

/// A request for a time stamp over a text (RFC 3161 §2.4.1): SHA-256, a nonce, and the signer's certificate wanted.
package struct TimeStampRequest: Sendable, Equatable {
    package static let contentType = "application/timestamp-query"
    static let replyType = "application/timestamp-reply"
    /// `AlgorithmIdentifier` of SHA-256 without parameters, and with NULL (RFC 5754 §2).
    private static let sha256: [UInt8] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]
    private static let sha256WithNull: [UInt8] = sha256 + [0x05, 0x00]

    let imprint: Digest
    /// INTEGER content, shortest form.
    private let nonce: [UInt8]

    /// - Parameter nonce: 8 random bytes.
    init(over text: [UInt8], nonce: [UInt8]) {
        imprint = SHA256.hash(text)
        self.nonce = DERWriter.integer(nonce)
    }

    /// The DER bytes.
    var bytes: [UInt8] {
        let algorithm = DERWriter.element(DERReader.Tag.sequence, Self.sha256WithNull)
        let imprint = DERWriter.element(
            DERReader.Tag.sequence,
            algorithm + DERWriter.element(DERReader.Tag.octets, imprint.bytes)
        )
        return DERWriter.element(
            DERReader.Tag.sequence,
            [0x02, 0x01, 0x01] + imprint + nonce + [DERReader.Tag.boolean, 0x01, 0xff]
        )
    }

    /// Why an answer is not a stamp for this request.
    struct Defect: Error, Equatable {
        let reason: String

        init(_ reason: String) { self.reason = reason }
    }

    /// Checks an answer (RFC 3161 §2.4.2): granted, over this text, with this nonce. The authority's signature is not
    /// checked here: `openssl ts -verify` does, with the certificate that its reader trusts.
    /// - Returns: `genTime`, as it stands there: `20261127004113Z`.
    /// - Throws: ``Defect``.
    func check(_ answer: [UInt8]) throws(Defect) -> String {
        let content: [UInt8]?
        do throws(DERReader.Malformed) { content = try Self.content(of: answer) } catch {
            throw Defect("its answer is not a time stamp")
        }
        guard let content else { throw Defect("it refuses the request") }
        do throws(DERReader.Malformed) {
            var outer = DERReader(content[...])
            var info = try outer.reader(DERReader.Tag.sequence)
            try outer.finish()
            guard try info.read(DERReader.Tag.integer).elementsEqual([1]) else { throw DERReader.Malformed() }
            try info.read(DERReader.Tag.identifier)
            var stamped = try info.reader(DERReader.Tag.sequence)
            let algorithm = Array(try stamped.read(DERReader.Tag.sequence))
            let hash = try stamped.read(DERReader.Tag.octets)
            try stamped.finish()
            guard algorithm == Self.sha256 || algorithm == Self.sha256WithNull, hash.elementsEqual(imprint.bytes) else {
                throw DERReader.Malformed()
            }
            try info.read(DERReader.Tag.integer)
            let time = try info.read(DERReader.Tag.time)
            guard let text = Self.time(time) else { throw DERReader.Malformed() }
            if info.nextTag == DERReader.Tag.sequence { try info.skip() }  // accuracy
            if info.nextTag == DERReader.Tag.boolean { try info.skip() }  // ordering
            guard info.nextTag == DERReader.Tag.integer else { throw DERReader.Malformed() }
            guard DERWriter.element(DERReader.Tag.integer, Array(try info.skip())) == nonce else {
                throw DERReader.Malformed()
            }
            return text
        } catch {
            throw Defect("its answer is not a stamp of what was sent")
        }
    }

    /// The TSTInfo inside of a TimeStampResp; nil when the status is not "granted".
    private static func content(of answer: [UInt8]) throws(DERReader.Malformed) -> [UInt8]? {
        var outer = DERReader(answer[...])
        var response = try outer.reader(DERReader.Tag.sequence)
        try outer.finish()
        var status = try response.reader(DERReader.Tag.sequence)
        let code = try status.read(DERReader.Tag.integer)
        // 0 granted, 1 granted with modifications.
        guard code.elementsEqual([0]) || code.elementsEqual([1]) else { return nil }
        var token = try response.reader(DERReader.Tag.sequence)
        try response.finish()
        guard try token.read(DERReader.Tag.identifier).elementsEqual(signedData) else { throw DERReader.Malformed() }
        var wrapper = try token.reader(DERReader.Tag.explicit0)
        try token.finish()
        var signed = try wrapper.reader(DERReader.Tag.sequence)
        try wrapper.finish()
        try signed.read(DERReader.Tag.integer)
        try signed.read(DERReader.Tag.set)
        var encapsulated = try signed.reader(DERReader.Tag.sequence)
        guard try encapsulated.read(DERReader.Tag.identifier).elementsEqual(stampInfo) else {
            throw DERReader.Malformed()
        }
        var content = try encapsulated.reader(DERReader.Tag.explicit0)
        try encapsulated.finish()
        let octets = try content.read(DERReader.Tag.octets)
        try content.finish()
        // Certificates and signatures follow: not looked at.
        return Array(octets)
    }

    /// id-signedData, 1.2.840.113549.1.7.2
    private static let signedData: [UInt8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02]
    /// id-ct-TSTInfo, 1.2.840.113549.1.9.16.1.4
    private static let stampInfo: [UInt8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04]

    /// `YYYYMMDDhhmmss[.f…]Z`.
    private static func time(_ bytes: ArraySlice<UInt8>) -> String? {
        guard (15...30).contains(bytes.count), bytes.last == 0x5a else { return nil }
        let digits = bytes.dropLast()
        guard digits.prefix(14).allSatisfy({ (0x30...0x39).contains($0) }),
            digits.dropFirst(14).allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e })
        else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
