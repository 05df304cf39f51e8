import { z } from "zod";
import type { Duplex } from "../net/duplex.ts";
import { Deadline } from "../net/deadline.ts";
import { HttpReader } from "../net/http/http_reader.ts";
import { parseRefusal } from "../net/upgrade.ts";
import { CodedError } from "../protocol/errors.ts";
import { bodyDecoder } from "../protocol/http/body.ts";
import { responseFraming } from "../protocol/http/framing.ts";
import { parseResponseHead } from "../protocol/http/head.ts";
import { DOORS } from "../protocol/limits.ts";
import { VERSION } from "../protocol/version.ts";
import { dialServer } from "./dial_server.ts";
import type { ServerAddress } from "./options.ts";
import { fetchPinnedCa } from "./pinned_ca.ts";
import { type ResolvedServerAddress, resolveServerAddress } from "./server_address.ts";

/** A door answers within this time. */
const ANSWER_TIMEOUT_MS = 15_000;
/** Longer answers come from something else. */
const MAX_ANSWER_BYTES = 16 * 1024;

const answerSchema = z.object({
  tunnel: z.string().max(128),
  token: z.string().max(512),
  hostname: z.string().max(253),
  name: z.string().max(256),
});

/** A new tunnel, as the server made it. */
export type Enrolment = z.infer<typeof answerSchema> & {
  /** The server's own CA (PEM), when it was pinned: to be kept and trusted from now on. */
  ca?: string;
};

/**
 * Turns an enrolment token into a tunnel. With a pin, the server's CA is fetched and compared before anything is sent.
 * @throws {CodedError} TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_USED, PIN_MISMATCH, SERVER_UNREACHABLE, SERVER_TLS
 */
export async function enrol(
  address: ServerAddress & { pin?: string },
  token: string,
  options: { name?: string; signal?: AbortSignal } = {},
): Promise<Enrolment> {
  const resolved = resolveServerAddress(address);
  const ca = address.pin === undefined ? undefined : await fetchPinnedCa(resolved, address.pin);
  const answer = await post(ca === undefined ? resolved : { ...resolved, ca }, DOORS.enrol, token, options);
  return ca === undefined ? answer : { ...answer, ca };
}

/** Makes a temporary tunnel for a one-shot: it is removed 5 minutes after its session ended. @throws {CodedError} as {@link enrol} */
export async function createChild(
  address: ServerAddress,
  token: string,
  options: { name?: string; signal?: AbortSignal } = {},
): Promise<Enrolment> {
  return await post(resolveServerAddress(address), DOORS.child, token, options);
}

async function post(
  address: ResolvedServerAddress,
  door: string,
  token: string,
  { name, signal }: { name?: string; signal?: AbortSignal },
): Promise<z.infer<typeof answerSchema>> {
  const duplex = await dialServer(address, signal);
  using _deadline = new Deadline(ANSWER_TIMEOUT_MS, () => duplex.reset(new Error("no answer in 15 s")));
  try {
    const body = JSON.stringify({ name, version: VERSION, os: Deno.build.os, arch: Deno.build.arch });
    const head = `POST ${door} HTTP/1.1\r\nHost: ${address.sni}\r\nAuthorization: Bearer ${token}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${
        new TextEncoder().encode(body).length
      }\r\nConnection: close\r\n\r\n`;
    await duplex.write(new TextEncoder().encode(head + body));
    return await readAnswer(duplex);
  } finally {
    duplex.close();
  }
}

async function readAnswer(duplex: Duplex): Promise<z.infer<typeof answerSchema>> {
  const reader = new HttpReader(duplex, "response");
  const text = await reader.readHead();
  if (text === null) throw new CodedError("SERVER_UNREACHABLE", "The server closed the connection without an answer");
  const head = parseResponseHead(text);
  const decoder = bodyDecoder(responseFraming(head, "POST"), "response");
  const decode = new TextDecoder();
  let body = "";
  for (let pieces = await reader.readBody(decoder); pieces !== null; pieces = await reader.readBody(decoder)) {
    for (const piece of pieces) body += decode.decode(piece, { stream: true });
    if (body.length > MAX_ANSWER_BYTES) break;
  }
  if (head.status !== 200) throw parseRefusal(body) ?? notSpokes(head.status);
  const parsed = answerSchema.safeParse(parseJson(body));
  if (!parsed.success) throw notSpokes(head.status);
  return parsed.data;
}

function notSpokes(status: number): CodedError {
  return new CodedError("UPGRADE_REQUIRED", `What answered is not a spokes server (HTTP ${status})`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Not JSON: refused by the schema.
  }
}
