/** Sizes of HTTP/1.1 messages that a peer feeds (design: between the defaults of nginx, HAProxy and Envoy). */

/** The request line; past it 414. Browsers stop at 2 KiB to 8 KiB of address. */
export const MAX_REQUEST_LINE_BYTES = 8 * 1024;
/** A whole head with its empty line; past it 431. Big cookies and signed tokens fit four times. */
export const MAX_HEAD_BYTES = 32 * 1024;
/** Cookies of one request; browsers keep 180 of a site. */
export const MAX_COOKIES = 180;
/** Fields of one head; HAProxy allows 101. */
export const MAX_FIELDS = 100;
/** Trailers of one body: they carry checksums and timings. */
export const MAX_TRAILER_BYTES = 8 * 1024;
/** Extensions of one chunk; nobody uses them, they are dropped (Go CVE-2023-39326: amplification). */
export const MAX_CHUNK_EXTENSION_BYTES = 256;
/** Extensions of all chunks of one body. */
export const MAX_CHUNK_EXTENSIONS_TOTAL_BYTES = 16 * 1024;
/** Digits of a chunk size: more than 2^64 has no meaning anywhere. */
export const MAX_CHUNK_SIZE_DIGITS = 16;
/** A host name without its trailing dot (RFC 1035 2.3.4). */
export const MAX_HOST_NAME_CHARACTERS = 253;
