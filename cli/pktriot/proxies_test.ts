import { deepEqual, equal, match } from "node:assert/strict";
import { verifyPassword } from "../../net/password.ts";
import { IDENTITY, pktriotConfig } from "../testing/pktriot_config.ts";

const PORT = "31080";

Deno.test("proxies listen, ls and rm change and show the configuration", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  for (const [kind, added, name] of [["socks", "socks5h", "SOCKS5"], ["http", "http", "HTTP CONNECT"]] as const) {
    const port = kind === "socks" ? "31080" : "28118";
    const first = await file.run(["proxies", kind, "listen", port]);
    deepEqual([first.code, first.out[0], first.err], [0, `Added ${name} proxy ${added}://127.0.0.1:${port}`, []]);
    const second = await file.run(["proxies", kind, "listen", port, "--bind", "::1"]);
    equal(second.out[0], `Replaced ${name} proxy ${added}://[::1]:${port}`);
  }
  deepEqual((await file.run(["proxies", "ls"])).out, [
    "+--------------+-------------+----------+",
    "| Proxy        | Address     | Password |",
    "+--------------+-------------+----------+",
    "| SOCKS5       | [::1]:31080 | none     |",
    "| HTTP CONNECT | [::1]:28118 | none     |",
    "+--------------+-------------+----------+",
  ]);
  deepEqual((await file.run(["proxies", "socks", "rm"])).out, ["Removed SOCKS5 proxy"]);
  deepEqual(JSON.parse(await file.text()).proxies, { http: { port: 28_118, bind: "::1" } });
  const again = await file.run(["proxies", "socks", "rm"]);
  equal(again.code, 1);
  match(again.err.join("\n"), /^error E4014: There is no SOCKS5 proxy\. /);
});

Deno.test("proxies socks listen keeps a password as a hash, which stays when nothing is said of it", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const listen = ["proxies", "socks", "listen", PORT];
  equal((await file.run([...listen, "--auth", "anna", "--password-stdin"], { input: "s3cret\n" })).code, 0);
  const written = await file.text();
  equal(written.includes("s3cret"), false);
  const { user, hash } = JSON.parse(written).proxies.socks.auth;
  deepEqual([user, await verifyPassword("s3cret", hash)], ["anna", true]);
  // Now others reach it; who may come in is as before.
  deepEqual((await file.run([...listen, "--bind", "0.0.0.0"])).err, []);
  deepEqual(JSON.parse(await file.text()).proxies.socks.auth, { user, hash });
  match((await file.run(["proxies", "ls"])).out.join("\n"), /\| SOCKS5 \| 0\.0\.0\.0:31080 \| of anna +\|/);
  for (const command of [["proxies", "ls", "--json"], ["info", "--json", "--offline"]]) {
    const { out } = await file.run(command);
    deepEqual([out.join("").includes(hash), out.join("").includes("anna")], [false, true]);
  }
  equal((await file.run([...listen, "--bind", "0.0.0.0", "--no-auth"])).code, 0);
  equal(JSON.parse(await file.text()).proxies.socks.auth, "none");
  // What was spelled out once is not spelled out for ever.
  match((await file.run([...listen, "--bind", "0.0.0.0"])).err.join("\n"), /^error E5012: /);
  equal((await file.run([...listen, "--no-auth"])).code, 0);
  deepEqual(JSON.parse(await file.text()).proxies.socks, { port: 31_080 });
});

Deno.test("a password for a proxy may come from the environment", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const env = { PKTRIOT_PASSWORD: "from env" };
  equal((await file.run(["proxies", "http", "listen", PORT, "--auth", "ben"], { env })).code, 0);
  equal(await verifyPassword("from env", JSON.parse(await file.text()).proxies.http.auth.hash), true);
});
