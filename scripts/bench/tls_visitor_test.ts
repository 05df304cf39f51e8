import { deepEqual } from "node:assert/strict";
import { parseClientHello } from "../../protocol/client_hello.ts";
import { clientHello } from "./tls_visitor.ts";

Deno.test("clientHello() gives a whole ClientHello with the name", async () => {
  const hello = parseClientHello(await clientHello("up.localhost"));
  deepEqual(hello, { kind: "hello", serverName: "up.localhost", alpn: [] });
});
