import { z } from "zod";
import { destinationSchema } from "./destination.ts";
import { MAX_LISTED_SERVICES, MAX_RULES } from "./limits.ts";
import { ruleStateSchema } from "./message.ts";
import { ruleSchema } from "./rule.ts";

const nothing = z.object({});
const port = z.int().min(1).max(65_535);
const domain = z.string().min(1).max(253);

/** A domain that a tunnel has asked for, or has proven to be theirs. */
const domainState = z.object({
  domain,
  /** `expired`: nobody looks for the record any more; `taken`: it belongs to another tunnel. */
  status: z.enum(["pending", "verified", "expired", "taken"]),
  /** The TXT record that proves it; absent when it is verified. */
  txt: z.object({ name: z.string(), value: z.string() }).optional(),
  /** The verified domain above it that covers it. */
  coveredBy: domain.optional(),
  /** When it was asked for, or verified (ISO 8601); absent when it is covered. */
  since: z.string().optional(),
  /** When the server last looked for the record (ISO 8601), and what was wrong. */
  checked: z.string().optional(),
  reason: z.string().optional(),
  /** No resolver has answered the server: nothing is known of the record. */
  unanswered: z.boolean().optional(),
});

/** Where the domain must point so that visitors come here. */
const pointing = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("cname"), hostname: z.string() }),
  /** The top of a zone, where a CNAME cannot be: A and AAAA records with the addresses of `hostname`, as far as they are known. */
  z.object({ kind: z.literal("addresses"), hostname: z.string(), addresses: z.array(z.string()) }),
]);

/** What a tunnel may reach through the mesh. */
const service = z.object({
  /** `external`: a host that the server allows, or all that fit its pattern. */
  kind: z.enum(["tcp", "http", "external"]),
  /** What to connect to: the service name, the domain of an HTTP rule, the tunnel's hostname, or the pattern of a host outside. */
  name: z.string(),
  /** Absent when any will do. */
  port: port.optional(),
  /** Of the tunnel behind which it is; absent when it is outside. */
  owner: z.string().optional(),
  tunnel: z.string().optional(),
  /** Whether it takes connections now. */
  online: z.boolean(),
});

/** Requests a client may make over control: parameters and result of each. */
export const REQUESTS = {
  /** A free port, or the one asked for; what the tunnel owns already is simply confirmed. */
  "port.allocate": { params: z.object({ port: port.optional() }), result: z.object({ port }) },
  "port.release": { params: z.object({ port }), result: nothing },
  "port.list": { params: nothing, result: z.object({ ports: z.array(port) }) },
  /** Whether the tunnel may use the name; claims nothing. */
  "name.check": { params: z.object({ domain }), result: nothing },
  "name.release": { params: z.object({ domain }), result: nothing },
  "name.list": { params: nothing, result: z.object({ names: z.array(domain) }) },
  /** Asks to prove that a domain is theirs; says what to set in the DNS. What was asked before is confirmed. */
  "domain.add": { params: z.object({ domain }), result: domainState.extend({ pointing }) },
  /** Has the server look for the record now. */
  "domain.verify": { params: z.object({ domain }), result: domainState },
  "domain.list": { params: nothing, result: z.object({ domains: z.array(domainState) }) },
  /** Gives a domain up, verified or not. */
  "domain.remove": { params: z.object({ domain }), result: nothing },
  /** Whether the rule would be accepted, and where visitors would reach it (absent for a private one); claims nothing. */
  "rule.check": {
    params: z.object({ rule: ruleSchema }),
    result: z.object({ address: z.string().max(1024).optional() }),
  },
  /** What became of the rules that the running `serve` session publishes; absent without such a session. */
  "rule.states": { params: nothing, result: z.object({ states: z.array(ruleStateSchema).max(MAX_RULES).optional() }) },
  /** What the tunnel may reach through the mesh now; `more` is how many did not fit. */
  "service.list": {
    params: nothing,
    result: z.object({ services: z.array(service).max(MAX_LISTED_SERVICES), more: z.int().min(1).optional() }),
  },
  /** Whether the tunnel may go to a destination now, as far as can be said without connecting. */
  "destination.check": { params: z.object({ destination: destinationSchema }), result: nothing },
  "tunnel.info": {
    params: nothing,
    result: z.object({
      id: z.string(),
      name: z.string(),
      hostname: z.string(),
      owner: z.string(),
      tags: z.array(z.string()),
      /** Host and start (ISO 8601) of the running `serve` session. */
      serving: z.object({ host: z.string(), since: z.string() }).optional(),
    }),
  },
  "tunnel.rename": { params: z.object({ name: z.string().min(1).max(64) }), result: nothing },
  /** A new tunnel token; the old one stops working. */
  "token.rotate": { params: nothing, result: z.object({ token: z.string() }) },
} as const;

export type DomainState = z.infer<typeof domainState>;
/** One of the answer to `service.list`. */
export type ListedService = z.infer<typeof service>;
export type DomainPointing = z.infer<typeof pointing>;
/** Name of a request. */
export type RequestMethod = keyof typeof REQUESTS;
export type RequestParams<M extends RequestMethod> = z.input<(typeof REQUESTS)[M]["params"]>;
export type RequestResult<M extends RequestMethod> = z.output<(typeof REQUESTS)[M]["result"]>;
