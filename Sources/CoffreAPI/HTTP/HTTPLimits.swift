/// Bounds of one request. Every default holds what real clients send with room to spare.
package struct HTTPLimits: Sendable {
    /// Method, target and version together, without the line end. RFC 9112 §3 recommends at least 8,000.
    package var requestLineBytes = 8192
    package var headerCount = 64
    /// All header lines together, line ends included.
    package var headerBytes = 32_768
    /// A request body, 32 MiB as in Vault.
    package var bodyBytes = 33_554_432
    /// One chunk-size line with its extensions (RFC 9112 §7.1.1), without the line end.
    package var chunkLineBytes = 256
    /// Trailer fields of a chunked body: read, checked and dropped.
    package var trailerCount = 16
    package var trailerBytes = 4096
    package var queryItems = 64

    package init() {}
}
