import { deepEqual, equal } from "node:assert/strict";
import { DEFAULT_SERVER_LIMITS } from "../../server/limits.ts";
import { parseConfig } from "../config_text.ts";
import { type ServerConfig, serverConfigSchema } from "./config.ts";
import { LIMIT_KEYS } from "./limits_schema.ts";
import { renderServerConfig } from "./render_config.ts";

function parse(text: string): ServerConfig {
  return parseConfig({ path: "spokes.yaml", text }, serverConfigSchema).value;
}

/** The text with every commented key (not the prose) switched on. */
function uncommented(text: string): string {
  const keys =
    "hostname|address|public_port|certificate|key|bind|ports|listen|trusted_proxies|drain|log|limits|level|format|" +
    "certificates|acme|directory|email|ca|dns_hook|dns_check|eab|key_id|hmac_key|proxy_protocol|from|domains|resolvers|without_proof|mesh|allow|policy|" +
    "socks|tls_listen|connect|connect_tls_listen";
  const limits = LIMIT_KEYS.map(({ key }) => key).join("|");
  return text.replace(new RegExp(`^( *)# ( *(?:${keys}|${limits}):| *- \\{)`, "gm"), "$1$2");
}

Deno.test("renderServerConfig() writes what the schema reads", () => {
  const config = parse(renderServerConfig({ domain: "example.com" }));
  equal(config.domain, "example.com");
  equal(config.state, "state");
  deepEqual(config.admin, { listen: { hostname: "127.0.0.1", port: 9400 } });
});

Deno.test("renderServerConfig() writes what it was told", () => {
  const config = parse(renderServerConfig({
    domain: "example.com",
    hostname: "tunnel.example.com",
    address: "203.0.113.7:8443",
    httpListen: ":8080",
    tlsListen: "[::1]:8443",
    tcpPorts: "30000-30009",
    adminListen: "127.0.0.1:0",
  }));
  equal(config.hostname, "tunnel.example.com");
  equal(config.address, "203.0.113.7:8443");
  deepEqual(config.http?.listen, { hostname: "", port: 8080 });
  deepEqual(config.tls?.listen, { hostname: "::1", port: 8443 });
  deepEqual(config.tcp?.ports, { from: 30_000, to: 30_009 });
});

Deno.test("renderServerConfig() shows the defaults in comments that can be switched on", () => {
  const config = parse(uncommented(renderServerConfig({ domain: "example.com" })));
  deepEqual(config.limits, { ...DEFAULT_SERVER_LIMITS });
  equal(config.drain, 30_000);
  equal(config.address, "example.com:443");
  deepEqual(config.log, { level: "info", format: "text" });
  deepEqual(config.trusted_proxies, ["10.0.0.0/8"]);
  deepEqual(config.domains, { resolvers: ["1.1.1.1", "127.0.0.1:5353"], without_proof: ["internal.example.com"] });
  equal(config.certificates, "certs");
  equal(config.acme?.directory, "letsencrypt");
  equal(config.acme?.dns_hook, "dns-hook.sh");
  deepEqual(config.acme?.eab, { key_id: "id-from-the-authority", hmac_key: "key-from-the-authority" });
  deepEqual(config.proxy_protocol, { from: ["10.0.0.0/8"] });
  deepEqual(config.mesh, {
    allow: ["10.1.0.0/16:5432", "db.srv.local", "*.srv.local:8000-8999"],
    policy: [
      { from: ["tag:laptop"], to: ["service:redis", "port:22123"], action: "allow" },
      { from: ["*"], to: ["cidr:10.1.9.0/24", "host:*.secret.srv.local"], action: "deny" },
    ],
    resolvers: ["10.1.0.2:53"],
    socks: { listen: { port: 1080 }, tlsListen: { port: 1081 } },
    connect: true,
    connectTlsListen: { port: 8443 },
  });
});
