import { DEFAULT_SERVER_LIMITS } from "../../server/limits.ts";
import { formatDuration } from "../parse_duration.ts";
import { LIMIT_KEYS } from "./limits_schema.ts";

/** What `init` was told; the rest of `spokes.yaml` are comments with the defaults. */
export interface ServerConfigValues {
  domain: string;
  hostname?: string;
  address?: string;
  httpListen?: string;
  tlsListen?: string;
  tcpPorts?: string;
  adminListen?: string;
}

/** The commented `spokes.yaml` that `init` writes. Every key is there; what is a comment has its default. */
export function renderServerConfig(values: ServerConfigValues): string {
  return `# spokes: configuration of the server. \`spokes check\` says what it would do; restart the server after an edit.
# Paths are relative to this file. Times are written as 500ms, 30s, 10m, 24h.

# Tunnels get names under this domain: point *.${values.domain} at this machine.
domain: ${values.domain}

# Name of the tunnel endpoint in TLS, which clients connect to.
${line("hostname", values.hostname, values.domain)}

# What clients dial, when it is not the name above and the port below (NAT, a balancer in front).
${line("address", values.address, `${values.hostname ?? values.domain}:443`)}

# Folder of tunnels, tokens, the certificate authority and the certificate.
state: state

# Visitors over HTTP. public_port: the port that visitors type, when another one is forwarded to this.
http:
  ${line("listen", quoted(values.httpListen), '":80"')}
  # public_port: 80

# The tunnel endpoint. Without a certificate of your own (a chain and its key, PEM) the server's own authority signs one,
# which clients trust through their invite.
tls:
  ${line("listen", quoted(values.tlsListen), '":443"')}
  # public_port: 443
  # certificate: fullchain.pem
  # key: privkey.pem

# Certificates of your own for any names, as pairs of files: NAME.crt with NAME.key, or fullchain.pem with privkey.pem.
# The folder is watched: new ones are used at once. Without this line it is the one named certs beside this file.
# certificates: certs

# Certificates from an authority (ACME), renewed for ever: for the name above, and for domains of tunnels whose TLS ends at
# this server. The authority must reach this machine at port 80 or 443 of those names.
# acme:
#   directory: letsencrypt # letsencrypt, letsencrypt-staging, or an https:// URL
#   email: you@${values.domain}
#   ca: authority.pem # for a private authority: the root certificate of its own HTTPS
#   dns_hook: dns-hook.sh # a program that sets DNS records; with it *.${values.domain} has a certificate too
#   dns_check: on # wait until the zone's name servers have the record; off, or the ones to ask: [10.0.0.2, "10.0.0.3:5353"]
#   eab: # for authorities that know their customers: what they gave out
#     key_id: id-from-the-authority
#     hmac_key: key-from-the-authority

# Balancers in front that begin every connection with a PROXY protocol header (version 1 or 2): from them it is demanded,
# and nobody else may send one.
# proxy_protocol:
#   from: [10.0.0.0/8]

# Visitors over TCP: tunnels allocate their ports in this range.
tcp:
  # bind: "::"
  ${line("ports", values.tcpPorts, "22000-22999")}

# Health and metrics: /healthz, /readyz, /metrics. Keep it on loopback; "admin: off" switches it off.
admin:
  listen: ${values.adminListen ?? "127.0.0.1:9400"}

# Tunnels may use domains of their own when a TXT record proves that they are theirs. All resolvers are asked, in place of the
# system's. Below a domain that is listed without proof any tunnel may take a free name.
# domains:
#   resolvers: [1.1.1.1, "127.0.0.1:5353"]
#   without_proof: [internal.example.com]

# The mesh: programs beside one tunnel reach services behind another, and hosts that are allowed here, without a public port. An
# edit of this part counts at once. Tunnels of one owner reach each other and every tunnel what is allowed; the first line of the
# policy that matches decides otherwise. \`spokes policy check\` explains a decision; "mesh: off" switches it off.
# mesh:
#   allow: [10.1.0.0/16:5432, db.srv.local, "*.srv.local:8000-8999"]
#   policy:
#     - {from: [tag:laptop], to: [service:redis, "port:22123"], action: allow}
#     - {from: ["*"], to: [cidr:10.1.9.0/24, "host:*.secret.srv.local"], action: deny}
#   resolvers: ["10.1.0.2:53"] # for the names above, in place of the system's
# For programs without a client beside them: SOCKS5 and CONNECT, with a tunnel's id as user and its token as password. What is
# not inside TLS shows both, and all that is sent, to the network. The ports count after a restart.
#   socks:
#     listen: ":1080"
#     tls_listen: ":1081"
#   connect: on # on the HTTP port; CONNECT then leads to no rule by its name
#   connect_tls_listen: ":8443"

# Networks of balancers whose X-Forwarded-For is believed.
# trusted_proxies: [10.0.0.0/8]

# How long running streams may go on after a stop was asked for.
# drain: 30s

# log:
#   level: info # debug, info, warn, error
#   format: text # text, json

# limits:
${
    LIMIT_KEYS.map(({ key, limit, isTime }) =>
      `#   ${key}: ${isTime ? formatDuration(DEFAULT_SERVER_LIMITS[limit]) : DEFAULT_SERVER_LIMITS[limit]}`
    ).join("\n")
  }
`;
}

function line(key: string, value: string | undefined, fallback: string): string {
  return value === undefined ? `# ${key}: ${fallback}` : `${key}: ${value}`;
}

function quoted(listen: string | undefined): string | undefined {
  return listen === undefined ? undefined : JSON.stringify(listen);
}
