import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { encodeProxyHeader, type Endpoint, MAX_V1_BYTES, MAX_V2_BYTES, parseProxyHeader } from "./proxy_protocol.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
const LONGEST_IPV6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1";

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
}

function text(line: string): Uint8Array {
  return new Uint8Array(Buffer.from(line, "latin1"));
}

/** A header of version 2 whose length fits its body. */
function v2(command: string, body: string): Uint8Array {
  const bytes = hex(body);
  return hex(`${SIGNATURE} ${command} ${bytes.length.toString(16).padStart(4, "0")} ${body}`);
}

const INET = "c0000201 c6336402 d431 0050";
const INET6 = "20010db8000000000000000000000001 20010db8000000000000000000000002 d431 01bb";
const UNIX = "2f".repeat(216);

const HEADERS: readonly (readonly [name: string, bytes: Uint8Array, source: Endpoint | undefined])[] = [
  ["v1 TCP4", text("PROXY TCP4 192.0.2.1 198.51.100.2 54321 80\r\n"), { address: "192.0.2.1", port: 54321 }],
  ["v1 TCP6", text("PROXY TCP6 2001:DB8:0::1 2001:db8::2 54321 443\r\n"), { address: "2001:db8::1", port: 54321 }],
  ["v1 mapped", text("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), { address: "192.0.2.1", port: 1 }],
  ["v1 port 0", text("PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\n"), { address: "192.0.2.1", port: 0 }],
  ["v1 UNKNOWN", text("PROXY UNKNOWN\r\n"), undefined],
  ["v1 longest", text(`PROXY UNKNOWN ${LONGEST_IPV6} ${LONGEST_IPV6} 65535 65535\r\n`), undefined],
  ["v2 TCP4", v2("21 11", INET), { address: "192.0.2.1", port: 54321 }],
  ["v2 TCP6", v2("21 21", INET6), { address: "2001:db8::1", port: 54321 }],
  ["v2 mapped", v2("21 21", `00000000000000000000ffffc0000201 ${"00".repeat(16)} 0001 0002`), {
    address: "192.0.2.1",
    port: 1,
  }],
  ["v2 unix", v2("21 31", UNIX), undefined],
  ["v2 UNSPEC", v2("21 00", ""), undefined],
  ["v2 UNSPEC with what is skipped", v2("21 00", "ffffff"), undefined],
  ["v2 LOCAL", v2("20 00", ""), undefined],
  ["v2 LOCAL with addresses", v2("20 11", INET), undefined],
  ["v2 LOCAL of no known family", v2("20 ff", "0102"), undefined],
  ["v2 TLVs", v2("21 11", `${INET} 01 0002 6832 04 0000`), { address: "192.0.2.1", port: 54321 }],
  ["v2 longest", v2("21 11", `${INET} 04 ${(505).toString(16).padStart(4, "0")} ${"00".repeat(505)}`), {
    address: "192.0.2.1",
    port: 54321,
  }],
];

for (const [name, bytes, source] of HEADERS) {
  Deno.test(`parseProxyHeader() reads ${name}, wherever it is cut`, () => {
    for (let end = 0; end < bytes.length; end++) {
      assert.deepEqual(parseProxyHeader(bytes.subarray(0, end)), { kind: "incomplete" }, `cut after ${end} bytes`);
    }
    const expected = { kind: "header", source, length: bytes.length };
    assert.deepEqual(parseProxyHeader(bytes), expected);
    // What comes behind it is none of its business.
    for (const next of ["GET / HTTP/1.1\r\n", "\r\n", "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "\0".repeat(1000)]) {
      assert.deepEqual(parseProxyHeader(new Uint8Array([...bytes, ...text(next)])), expected);
    }
  });
}

Deno.test("the longest headers are as long as the limits", () => {
  const lengths = new Map(HEADERS.map(([name, { length }]) => [name, length]));
  assert.ok(lengths.get("v1 longest")! <= MAX_V1_BYTES);
  assert.equal(lengths.get("v2 longest"), MAX_V2_BYTES);
});

const INVALID: readonly (readonly [reason: string, bytes: Uint8Array])[] = [
  ["another protocol", text("G")],
  ["lower case", text("proxy TCP4")],
  ["TLS", hex("16 03")],
  ["a first line of HTTP that looks similar", text("PROXX")],
  ["no CR", text("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n")],
  ["two spaces", text("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n")],
  ["a space at the end", text("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n")],
  ["IPv6 as TCP4", text("PROXY TCP4 ::1 ::1 1 2\r\n")],
  ["IPv4 as TCP6", text("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n")],
  ["a short address", text("PROXY TCP4 127.1 198.51.100.2 1 2\r\n")],
  ["an octal address", text("PROXY TCP4 010.0.0.1 198.51.100.2 1 2\r\n")],
  ["an octal address inside IPv6", text("PROXY TCP6 ::ffff:010.0.0.1 ::1 1 2\r\n")],
  ["a zone", text("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n")],
  ["a port out of range", text("PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n")],
  ["the other port out of range", text("PROXY TCP4 192.0.2.1 198.51.100.2 1 99999\r\n")],
  ["a port with a zero in front", text("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n")],
  ["no ports", text("PROXY TCP4 192.0.2.1 198.51.100.2\r\n")],
  ["another transport", text("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n")],
  ["UNKNOWNS", text("PROXY UNKNOWNS\r\n")],
  ["a line that does not end", text(`PROXY UNKNOWN ${"x".repeat(MAX_V1_BYTES)}`)],
  ["a line that is too long", text(`PROXY UNKNOWN ${"x".repeat(MAX_V1_BYTES)}\r\n`)],
  ["a broken signature", hex("0d0a0d0a000d0a5155495400")],
  ["empty lines", text("\r\n\r\nGET")],
  ["version 1 in the form of 2", hex(`${SIGNATURE} 11`)],
  ["an unknown command", hex(`${SIGNATURE} 22`)],
  ["an unknown family", v2("21 41", INET)],
  ["an unknown transport", v2("21 13", INET)],
  ["a datagram", v2("21 12", INET)],
  ["addresses that are cut short", v2("21 11", INET.slice(0, -2))],
  ["IPv4 addresses for IPv6", v2("21 21", INET)],
  ["no addresses", v2("21 11", "")],
  ["a TLV that overruns the header", v2("21 11", `${INET} 04 0002 00`)],
  ["a TLV that overruns it by far", v2("21 11", `${INET} 04 ffff 00`)],
  ["a TLV of one byte", v2("21 11", `${INET} 04`)],
  ["a TLV of two bytes behind a whole one", v2("21 11", `${INET} 04 0001 00 05 00`)],
  ["more than is read", hex(`${SIGNATURE} 21 11 0209`)],
  ["far more than is read", hex(`${SIGNATURE} 20 00 ffff`)],
];

Deno.test("parseProxyHeader() refuses everything else as soon as it is known", () => {
  for (const [name, bytes] of INVALID) assert.equal(parseProxyHeader(bytes).kind, "invalid", name);
});

Deno.test("parseProxyHeader() survives every single byte that is wrong", () => {
  for (const [, bytes] of HEADERS) {
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0x00, 0x0a, 0x20, 0x7f, 0xff]) {
        const wrong = bytes.with(at, value);
        const parsed = parseProxyHeader(wrong);
        if (parsed.kind === "header") assert.ok(parsed.length <= wrong.length);
      }
    }
  }
});

Deno.test("encodeProxyHeader() writes the bytes of the specification", () => {
  const source = { address: "192.0.2.1", port: 54321 };
  const cases: readonly [Endpoint, Endpoint, Uint8Array][] = [
    [source, { address: "198.51.100.2", port: 80 }, v2("21 11", INET)],
    [{ address: "2001:db8::1", port: 54321 }, { address: "2001:db8::2", port: 443 }, v2("21 21", INET6)],
    [
      { address: "2001:db8::1", port: 1 },
      { address: "127.0.0.1", port: 2 },
      v2("21 21", "20010db8000000000000000000000001 00000000000000000000ffff7f000001 0001 0002"),
    ],
    [
      source,
      { address: "::1", port: 2 },
      v2("21 21", "00000000000000000000ffffc0000201 00000000000000000000000000000001 d431 0002"),
    ],
    [{ address: "::ffff:192.0.2.1", port: 54321 }, { address: "198.51.100.2", port: 80 }, v2("21 11", INET)],
  ];
  for (const [from, to, bytes] of cases) {
    assert.deepEqual(encodeProxyHeader({ source: from, destination: to }), bytes);
  }
  assert.deepEqual(encodeProxyHeader(), v2("20 00", ""));
});

Deno.test("encodeProxyHeader() writes no address that is none", () => {
  for (const address of ["", "localhost", "127.1", "fe80::1%eth0", "010.0.0.1"]) {
    const source = { address, port: 1 };
    assert.throws(() => encodeProxyHeader({ source, destination: { address: "::1", port: 1 } }), TypeError);
  }
});
