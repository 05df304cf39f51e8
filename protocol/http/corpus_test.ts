import assert from "node:assert/strict";
import { CodedError } from "../errors.ts";
import { bodyDecoder } from "./body.ts";
import { requestFraming, responseFraming } from "./framing.ts";
import { parseRequestHead, parseResponseHead } from "./head.ts";
import { latin1 } from "./latin1.ts";
import { latin1Bytes } from "./serialise.ts";

/** Message, and what becomes of it: a code, or `host target framing [body]`. */
type Vector = readonly [name: string, message: string, outcome: string];

const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n";
const POST = "POST / HTTP/1.1\r\nHost: a.example\r\n";
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const OK = "a.example / none";
const BAD = "BAD_REQUEST";

function host(value: string): string {
  return `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`;
}

function field(line: string): string {
  return `${GET}${line}\r\n\r\n`;
}

function length(value: string): string {
  return `${POST}Content-Length: ${value}\r\n\r\nhello`;
}

function coding(value: string): string {
  return `${POST}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`;
}

const REQUESTS: readonly Vector[] = [
  // Request line (RFC 9112 3).
  ["plain", `${GET}\r\n`, OK],
  ["query", "GET /a?b=c&d HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example /a?b=c&d none"],
  ["raw pipe and quote in the target", 'GET /a|"b" HTTP/1.1\r\nHost: a.example\r\n\r\n', 'a.example /a|"b" none'],
  ["double slash", "GET //b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example //b.example/ none"],
  ["unknown method", "FROB / HTTP/1.1\r\nHost: a.example\r\n\r\n", OK],
  ["lower-case method", "get / HTTP/1.1\r\nHost: a.example\r\n\r\n", OK],
  ["method with a separator", "GE(T / HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["empty method", " / HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["two spaces before the target", "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["two spaces before the version", "GET /  HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["space at the end of the request line", "GET / HTTP/1.1 \r\nHost: a.example\r\n\r\n", BAD],
  ["space before the method", " GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["empty line first (the reader skips it, the parser does not)", `\r\n${GET}\r\n`, BAD],
  ["no version (HTTP/0.9)", "GET /\r\nHost: a.example\r\n\r\n", BAD],
  ["space in the target", "GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["control character in the target", "GET /\x01 HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["obs-text in the target", "GET /\xe9 HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["fragment in the target", "GET /#a HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["bare word as target", "GET index.html HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["HTTP/2.0 preface", "PRI * HTTP/2.0\r\n\r\n", "VERSION_NOT_SUPPORTED"],
  ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: a.example\r\n\r\n", "VERSION_NOT_SUPPORTED"],
  ["HTTP/0.9 spelled out", "GET / HTTP/0.9\r\nHost: a.example\r\n\r\n", "VERSION_NOT_SUPPORTED"],
  ["version with two digits", "GET / HTTP/1.10\r\nHost: a.example\r\n\r\n", BAD],
  ["version without a minor", "GET / HTTP/1\r\nHost: a.example\r\n\r\n", BAD],
  ["lower-case version", "GET / http/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["another protocol's name", "GET / ICY/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["HTTP/1.0 with Host", "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", OK],
  ["HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "- / none"],
  ["request line over 8 KiB", `GET /${"a".repeat(8192)} HTTP/1.1\r\nHost: a.example\r\n\r\n`, "URI_TOO_LONG"],

  // Line endings (R36).
  ["LF only", "GET / HTTP/1.1\nHost: a.example\n\n", BAD],
  ["bare LF after the request line", "GET / HTTP/1.1\nHost: a.example\r\n\r\n", BAD],
  ["bare LF after a field", `${GET}A: b\nC: d\r\n\r\n`, BAD],
  ["bare CR in a field", `${GET}A: b\rC: d\r\n\r\n`, BAD],
  ["CR CR LF", `${GET}A: b\r\r\n\r\n`, BAD],
  ["bare CR after the request line", "GET / HTTP/1.1\rHost: a.example\r\n\r\n", BAD],
  ["bare LF as the empty line", `${GET}\n`, BAD],

  // Fields (RFC 9112 5).
  ["no white space after the colon", field("A:b"), OK],
  ["tabs around the value", field("A:\tb\t"), OK],
  ["empty value", field("A:"), OK],
  ["obs-text in a value", field("A: caf\xe9"), OK],
  ["tab inside a value", field("A: b\tc"), OK],
  ["name of all token characters", field("!#$%&'*+-.^_`|~aZ09: b"), OK],
  ["__proto__ as a name", field("__proto__: b"), OK],
  ["constructor as a name", field("constructor: b"), OK],
  ["space before the colon", field("A : b"), BAD],
  ["tab before the colon", field("A\t: b"), BAD],
  ["space before the name of the first field", "GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", BAD],
  ["folded line", field("A: b\r\n c"), BAD],
  ["folded line with a tab", field("A: b\r\n\tc"), BAD],
  ["empty name (HAProxy CVE-2023-25725)", field(": b"), BAD],
  ["no colon", field("A"), BAD],
  ["space in a name", field("A B: c"), BAD],
  ["parenthesis in a name", field("A(b): c"), BAD],
  ["NUL in a name", field("A\0: b"), BAD],
  ["obs-text in a name", field("\xe9: b"), BAD],
  ["NUL in a value", field("A: b\0c"), BAD],
  ["escape in a value", field("A: \x1b[31m"), BAD],
  ["vertical tab in a value", field("A: b\x0bc"), BAD],
  ["form feed in a value", field("A: b\x0cc"), BAD],
  ["DEL in a value", field("A: \x7f"), BAD],
  ["100 fields", `${GET}${"A: b\r\n".repeat(99)}\r\n`, OK],
  ["101 fields", `${GET}${"A: b\r\n".repeat(100)}\r\n`, "HEADERS_TOO_LARGE"],
  ["181 cookies", `${GET}Cookie: ${"a=b; ".repeat(180)}a=b\r\n\r\n`, "HEADERS_TOO_LARGE"],
  ["181 cookies in two fields", `${GET}${`Cookie: ${"a; ".repeat(90)}a\r\n`.repeat(2)}\r\n`, "HEADERS_TOO_LARGE"],
  ["head over 32 KiB", `${GET}${`A: ${"b".repeat(1000)}\r\n`.repeat(33)}\r\n`, "HEADERS_TOO_LARGE"],

  // Host (RFC 9112 3.2).
  ["no Host", "GET / HTTP/1.1\r\n\r\n", BAD],
  ["empty Host", host(""), BAD],
  ["two equal Hosts", field("Host: a.example"), BAD],
  ["two different Hosts", field("host: b.example"), BAD],
  ["two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BAD],
  ["upper case", host("A.EXAMPLE"), OK],
  ["final dot", host("a.example."), OK],
  ["port", host("a.example:8080"), OK],
  ["final dot and port", host("a.example.:80"), OK],
  ["two final dots", host("a.example.."), BAD],
  ["dot only", host("."), BAD],
  ["empty label", host("a..example"), BAD],
  ["dot first", host(".a.example"), BAD],
  ["hyphen first", host("-a.example"), BAD],
  ["hyphen last", host("a-.example"), BAD],
  ["underscore", host("a_b.example"), BAD],
  ["label of 64", host(`${"a".repeat(64)}.example`), BAD],
  ["name of 254", host(`${"a.".repeat(126)}aa`), BAD],
  ["empty port", host("a.example:"), BAD],
  ["port of letters", host("a.example:http"), BAD],
  ["port of six digits", host("a.example:123456"), BAD],
  ["port over 65535", host("a.example:65536"), BAD],
  ["port 0", host("a.example:0"), BAD],
  ["signed port", host("a.example:+80"), BAD],
  ["user", host("u@a.example"), BAD],
  ["path", host("a.example/b"), BAD],
  ["list", host("a.example, b.example"), BAD],
  ["space", host("a.example b"), BAD],
  ["obs-text", host("b\xfccher.example"), BAD],
  ["percent-encoding", host("%61.example"), BAD],
  ["IPv4", host("127.0.0.1:8080"), "127.0.0.1 / none"],
  ["IPv4 in octal", host("0177.0.0.1"), BAD],
  ["IPv4 in hexadecimal", host("0x7f.0.0.1"), BAD],
  ["IPv4 as one number", host("2130706433"), BAD],
  ["IPv4 with a hexadecimal last part", host("127.0.0.0x1"), BAD],
  ["short IPv4", host("127.1"), BAD],
  ["IPv4 over 255", host("127.0.0.256"), BAD],
  ["IPv6", host("[::1]:8080"), "[::1] / none"],
  ["IPv6, long form", host("[0:0:0:0:0:0:0:1]"), "[::1] / none"],
  ["IPv6, upper case", host("[2001:DB8::A]"), "[2001:db8::a] / none"],
  ["IPv6 without brackets", host("::1"), BAD],
  ["IPv6 with a zone", host("[fe80::1%25eth0]"), BAD],
  ["IPv6 malformed", host("[:::1]"), BAD],
  ["IPv6 not closed", host("[::1"), BAD],
  ["A-label", host("xn--bcher-kva.example"), "xn--bcher-kva.example / none"],
  ["A-label that does not decode", host("xn--a.example"), BAD],
  ["A-label without need (idna CVE-2024-12224)", host("xn--example-.test"), BAD],
  ["empty A-label", host("xn--.example"), BAD],

  // Forms of the target (RFC 9112 3.2).
  ["absolute-form", "GET http://a.example/b?c HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example /b?c none"],
  ["absolute-form, upper case", "GET HTTP://A.EXAMPLE/ HTTP/1.1\r\nHost: a.example\r\n\r\n", OK],
  ["absolute-form with the default port", "GET http://a.example:80/ HTTP/1.1\r\nHost: a.example\r\n\r\n", OK],
  ["absolute-form without path", "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", OK],
  ["absolute-form with query only", "GET http://a.example?b HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example /?b none"],
  ["absolute-form, HTTP/1.0 without Host", "GET http://a.example/ HTTP/1.0\r\n\r\n", OK],
  ["absolute-form without Host", "GET http://a.example/ HTTP/1.1\r\n\r\n", BAD],
  ["absolute-form for another host", "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["absolute-form for another port", "GET http://a.example:81/ HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["absolute-form with a user", "GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["absolute-form of another scheme", "GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["absolute-form without host", "GET http:///b HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example * none"],
  ["GET *", "GET * HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  [
    "OPTIONS absolute-form without path",
    "OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "a.example * none",
  ],
  ["CONNECT", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "a.example a.example:443 none"],
  ["CONNECT to another host than Host", "CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["CONNECT without port", "CONNECT a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["CONNECT in origin-form", "CONNECT / HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD],
  ["CONNECT with a body", "CONNECT a.example:1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", BAD],

  // Framing (RFC 9112 6.3).
  ["length", length("5"), "a.example / length hello"],
  ["length 0", `${POST}Content-Length: 0\r\n\r\n`, "a.example / length "],
  ["body on GET", `${GET}Content-Length: 5\r\n\r\nhello`, "a.example / length hello"],
  ["cut body", `${POST}Content-Length: 6\r\n\r\nhello`, BAD],
  ["two lengths, equal", `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, BAD],
  ["two lengths, different", `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, BAD],
  ["length as a list", length("5, 5"), BAD],
  ["empty length (HAProxy CVE-2023-40225)", length(""), BAD],
  ["signed length", length("+5"), BAD],
  ["negative length", length("-5"), BAD],
  ["hexadecimal length", length("0x5"), BAD],
  ["length with leading zero", length("05"), BAD],
  ["length with a fraction", length("5.0"), BAD],
  ["length with an exponent", length("5e0"), BAD],
  ["length with a separator", length("5_0"), BAD],
  ["length of 16 digits", length("9007199254740993"), BAD],
  ["length with inner space", length("5 0"), BAD],
  ["length and coding", `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, BAD],
  ["coding and length", `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, BAD],
  ["coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD],
  ["coding in other case", coding("ChunkeD"), "a.example / chunked "],
  ["coding twice", `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, BAD],
  ["coding twice in one field", coding("chunked, chunked"), BAD],
  ["coding identity", coding("identity"), BAD],
  ["coding xchunked", coding("xchunked"), BAD],
  ["coding chunked with a quote", coding('"chunked"'), BAD],
  ["coding chunked with a parameter", coding("chunked;q=1"), BAD],
  ["coding with a comma first", coding(",chunked"), BAD],
  ["coding chunked, then gzip", coding("chunked, gzip"), BAD],
  ["coding gzip, then chunked", coding("gzip, chunked"), "NOT_IMPLEMENTED"],
  ["coding gzip", coding("gzip"), BAD],
  ["empty coding", coding(""), BAD],
  ["coding with a vertical tab", coding("\x0bchunked"), BAD],
  ["coding hidden by an underscore is no coding", `${GET}Transfer_Encoding: chunked\r\n\r\n`, OK],

  // Chunks (RFC 9112 7.1).
  ["chunks", `${CHUNKED}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`, "a.example / chunked abcde"],
  ["size in capitals", `${CHUNKED}A\r\n0123456789\r\n0\r\n\r\n`, "a.example / chunked 0123456789"],
  ["size with leading zeros", `${CHUNKED}0003\r\nabc\r\n000\r\n\r\n`, "a.example / chunked abc"],
  ["extension", `${CHUNKED}3;a=b;c="d;e";f\r\nabc\r\n0\r\n\r\n`, "a.example / chunked abc"],
  ["extension with white space", `${CHUNKED}3 ; a = b\r\nabc\r\n0\r\n\r\n`, "a.example / chunked abc"],
  ["trailers", `${CHUNKED}3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n`, "a.example / chunked abc x-sum=1"],
  ["size ends in LF (Go CVE-2025-22871)", `${CHUNKED}3\nabc\r\n0\r\n\r\n`, BAD],
  ["extension ends in LF", `${CHUNKED}3;a\nabc\r\n0\r\n\r\n`, BAD],
  ["CR inside an extension", `${CHUNKED}3;a\rb\r\nabc\r\n0\r\n\r\n`, BAD],
  ["data ends in LF", `${CHUNKED}3\r\nabc\n0\r\n\r\n`, BAD],
  ["data without line end", `${CHUNKED}3\r\nabc0\r\n\r\n`, BAD],
  ["data longer than its size", `${CHUNKED}2\r\nabc\r\n0\r\n\r\n`, BAD],
  ["empty size", `${CHUNKED}\r\n\r\n`, BAD],
  ["extension without size", `${CHUNKED};a\r\n\r\n`, BAD],
  ["size with 0x", `${CHUNKED}0x3\r\nabc\r\n0\r\n\r\n`, BAD],
  ["size with a sign", `${CHUNKED}+3\r\nabc\r\n0\r\n\r\n`, BAD],
  ["negative size", `${CHUNKED}-3\r\nabc\r\n0\r\n\r\n`, BAD],
  ["space before a size", `${CHUNKED} 3\r\nabc\r\n0\r\n\r\n`, BAD],
  ["space after a size", `${CHUNKED}3 \r\nabc\r\n0\r\n\r\n`, BAD],
  ["size with an underscore", `${CHUNKED}1_0\r\nabc\r\n0\r\n\r\n`, BAD],
  ["size of 17 digits", `${CHUNKED}00000000000000003\r\nabc\r\n0\r\n\r\n`, BAD],
  ["size over 2^53", `${CHUNKED}20000000000000\r\nabc`, BAD],
  ["size that would wrap at 2^64", `${CHUNKED}ffffffffffffffff\r\nabc`, BAD],
  ["malformed extension", `${CHUNKED}3;=b\r\nabc\r\n0\r\n\r\n`, BAD],
  ["extension with an open quote", `${CHUNKED}3;a="b\r\nabc\r\n0\r\n\r\n`, BAD],
  ["extension of 300 bytes", `${CHUNKED}3;${"a".repeat(300)}\r\nabc\r\n0\r\n\r\n`, BAD],
  ["extensions of 20 KiB in all", `${CHUNKED}${`1;${"a".repeat(200)}\r\na\r\n`.repeat(100)}0\r\n\r\n`, BAD],
  ["no last chunk", `${CHUNKED}3\r\nabc\r\n`, BAD],
  ["cut inside the last chunk", `${CHUNKED}3\r\nabc\r\n0\r\n`, BAD],
  ["bytes between the last chunk and its end", `${CHUNKED}0\r\nGET / HTTP/1.1\r\n\r\n`, BAD],
  ["trailer that ends in LF", `${CHUNKED}0\r\nA: b\n\r\n`, BAD],
  ["trailer section that ends in LF", `${CHUNKED}0\r\n\n`, BAD],
  ["folded trailer", `${CHUNKED}0\r\nA: b\r\n c\r\n\r\n`, BAD],
  ["trailers over 8 KiB", `${CHUNKED}0\r\nA: ${"b".repeat(9000)}\r\n\r\n`, BAD],
  ["101 trailers", `${CHUNKED}0\r\n${"A: b\r\n".repeat(101)}\r\n`, BAD],
];

const STATUS = "HTTP/1.1 200 OK\r\n";
const FROM_TARGET = "TARGET_BAD_RESPONSE";

const RESPONSES: readonly Vector[] = [
  ["length", `${STATUS}Content-Length: 5\r\n\r\nhello`, "200 length hello"],
  ["until close", `${STATUS}\r\nhello`, "200 close hello"],
  ["chunked", `${STATUS}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, "200 chunked hello"],
  ["no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 length "],
  ["no reason and no space", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 length "],
  ["reason with obs-text", "HTTP/1.1 404 Pas trouv\xe9\r\nContent-Length: 0\r\n\r\n", "404 length "],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", "200 close hello"],
  ["204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "204 none"],
  ["304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 none"],
  ["103", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "103 none"],
  ["status 999", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "999 length "],
  ["cut length", `${STATUS}Content-Length: 6\r\n\r\nhello`, "TARGET_CLOSED"],
  ["cut chunk", `${STATUS}Transfer-Encoding: chunked\r\n\r\n5\r\nhell`, "TARGET_CLOSED"],
  ["two lengths", `${STATUS}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, FROM_TARGET],
  ["length and coding", `${STATUS}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`, FROM_TARGET],
  ["coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", FROM_TARGET],
  ["coding gzip, chunked", `${STATUS}Transfer-Encoding: gzip, chunked\r\n\r\n`, FROM_TARGET],
  ["LF only", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", FROM_TARGET],
  ["space before a colon", `${STATUS}Content-Length : 0\r\n\r\n`, FROM_TARGET],
  ["folded line", `${STATUS}A: b\r\n c\r\n\r\n`, FROM_TARGET],
  ["NUL in a value", `${STATUS}A: \0\r\n\r\n`, FROM_TARGET],
  ["two-digit status", "HTTP/1.1 99 Low\r\n\r\n", FROM_TARGET],
  ["status 000", "HTTP/1.1 000 None\r\n\r\n", FROM_TARGET],
  ["four-digit status", "HTTP/1.1 2000 OK\r\n\r\n", FROM_TARGET],
  ["HTTP/2 status line", "HTTP/2 200\r\n\r\n", FROM_TARGET],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n", FROM_TARGET],
  ["CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", FROM_TARGET],
  ["101 fields", `${STATUS}${"A: b\r\n".repeat(101)}\r\n`, FROM_TARGET],
  ["head over 32 KiB", `${STATUS}A: ${"b".repeat(33_000)}\r\n\r\n`, FROM_TARGET],
];

function run(kind: "request" | "response", message: string, step: number): string {
  const end = message.indexOf("\r\n\r\n") + 4;
  // A head that never ends in an empty line is parsed as a whole: the reader would wait for more of it.
  const headText = end === 3 ? message : message.slice(0, end);
  try {
    const parsed = kind === "request" ? requestParts(headText) : responseParts(headText);
    const decoder = bodyDecoder(parsed.framing, kind);
    const rest = latin1Bytes(message.slice(headText.length));
    let body = "";
    for (let at = 0; at < rest.length && !decoder.done;) {
      at += decoder.feed(rest.subarray(at, at + step));
      for (const piece of decoder.pieces) body += latin1(piece);
    }
    decoder.end();
    const trailers = [...decoder.trailers ?? []].map(({ key, value }) => ` ${key}=${value}`).join("");
    return `${parsed.start} ${parsed.framing.kind}${parsed.framing.kind === "none" ? "" : ` ${body}`}${trailers}`;
  } catch (error) {
    if (error instanceof CodedError) return error.kind;
    throw error;
  }
}

function requestParts(text: string) {
  const head = parseRequestHead(text);
  return { start: `${head.host ?? "-"} ${head.target}`, framing: requestFraming(head) };
}

function responseParts(text: string) {
  const head = parseResponseHead(text);
  return { start: `${head.status}`, framing: responseFraming(head, "GET") };
}

Deno.test("the corpus has at least 125 vectors, each with a name of its own", () => {
  assert.ok(REQUESTS.length + RESPONSES.length >= 125);
  assert.equal(new Set(REQUESTS.map(([name]) => name)).size, REQUESTS.length);
  assert.equal(new Set(RESPONSES.map(([name]) => name)).size, RESPONSES.length);
});

for (const [kind, vectors] of [["request", REQUESTS], ["response", RESPONSES]] as const) {
  for (const [name, message, outcome] of vectors) {
    Deno.test(`${kind} vector: ${name}`, () => {
      assert.equal(run(kind, message, message.length), outcome);
      assert.equal(run(kind, message, 1), outcome);
    });
  }
}
