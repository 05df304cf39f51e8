import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import { resolveServerAddress } from "./server_address.ts";

Deno.test("resolveServerAddress() asks a host by its name and an address by the internal one", () => {
  const facts = (server: string, sni?: string) => {
    const { hostname, port, sni: asked } = resolveServerAddress({ server, ...(sni === undefined ? {} : { sni }) });
    return `${hostname} ${port} ${asked}`;
  };
  assert.equal(facts("tunnel.example.com"), "tunnel.example.com 443 tunnel.example.com");
  assert.equal(facts("tunnel.example.com:8443"), "tunnel.example.com 8443 tunnel.example.com");
  assert.equal(facts("203.0.113.7:8443"), `203.0.113.7 8443 ${INTERNAL_SNI}`);
  assert.equal(facts("[2001:db8::1]:8443"), `2001:db8::1 8443 ${INTERNAL_SNI}`);
  assert.equal(facts("[2001:db8::1]"), `2001:db8::1 443 ${INTERNAL_SNI}`);
  assert.equal(facts("203.0.113.7:8443", "tunnel.example.com"), "203.0.113.7 8443 tunnel.example.com");
});

for (
  const server of ["", "host:0", "host:65536", "http://host", "host:port", "2001:db8::1", "a b", "[::1", "host:1:2"]
) {
  Deno.test(`resolveServerAddress() refuses ${JSON.stringify(server)}`, () => {
    assert.throws(
      () => resolveServerAddress({ server }),
      (error) => error instanceof CodedError && error.kind === "CONFIG_INVALID",
    );
  });
}
