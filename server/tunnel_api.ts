import { type Context, Hono } from "hono";
import { z } from "zod";
import type { FetchHandler } from "../net/http/fetch_server.ts";
import { errorStatus } from "../net/http/error_status.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import { DOORS } from "../protocol/limits.ts";
import { describeIssue } from "../protocol/message.ts";
import type { Authenticator } from "./authenticator.ts";
import type { ServerState } from "./state/server_state.ts";
import type { IssuedTunnel } from "./state/tunnels.ts";

/** What a door's body may say. */
const bodySchema = z.object({
  name: z.string().min(1).max(64).optional(),
  version: z.string().max(64).optional(),
  os: z.string().max(64).optional(),
  arch: z.string().max(64).optional(),
});

type Environment = { Bindings: { address: string } };

/** The doors that make tunnels: `enrol` for an invite, `child` for a one-shot. Answers are never cached: they hold a token. */
export function tunnelApi(state: ServerState, authenticator: Authenticator): FetchHandler {
  const app = new Hono<Environment>();
  app.post(DOORS.enrol, async (context) => {
    const options = await readBody(context);
    const issued = await authenticator.enrol(bearerOf(context), { ...options, from: context.env.address });
    return answer(context, issued);
  });
  app.post(DOORS.child, async (context) => {
    const { name } = await readBody(context);
    const parent = await authenticator.tunnel(bearerOf(context), context.env.address);
    return answer(context, await state.tunnels.createTemporary(parent, name === undefined ? {} : { name }));
  });
  app.notFound(() => refusal(new CodedError("UPGRADE_REQUIRED")));
  app.onError((error) => refusal(toCodedError(error)));
  return (request, { address }) => app.fetch(request, { address: address ?? "" });
}

/** An error as the doors tell it. */
export function refusal(error: CodedError): Response {
  const unauthorized = ["TOKEN_INVALID", "TOKEN_EXPIRED", "TOKEN_USED", "REVOKED", "SESSION_UNKNOWN"].includes(
    error.kind,
  );
  const status = unauthorized ? 401 : error.kind === "TOO_MANY_ATTEMPTS" ? 429 : errorStatus(error.kind).status;
  const message = error.kind === "INTERNAL" ? "The server has a fault" : error.message;
  return Response.json({ error: { code: error.code, message } }, {
    status,
    headers: { "cache-control": "no-store", ...(unauthorized ? { "www-authenticate": "Bearer" } : {}) },
  });
}

/** The token of an `Authorization: Bearer` value; empty when there is none. */
export function parseBearer(authorization: string | null | undefined): string {
  return /^Bearer ([\x21-\x7e]{1,512})$/i.exec(authorization ?? "")?.[1] ?? "";
}

function bearerOf(context: Context<Environment>): string {
  return parseBearer(context.req.header("authorization"));
}

async function readBody(context: Context<Environment>): Promise<{ name?: string }> {
  const text = await context.req.text();
  let value: unknown;
  try {
    value = text === "" ? {} : JSON.parse(text);
  } catch (cause) {
    throw new CodedError("BAD_REQUEST", "The body is not JSON", { cause });
  }
  const parsed = bodySchema.safeParse(value);
  if (!parsed.success) throw new CodedError("BAD_REQUEST", describeIssue(parsed.error));
  return parsed.data.name === undefined ? {} : { name: parsed.data.name };
}

function answer(context: Context<Environment>, { tunnel, token }: IssuedTunnel): Response {
  context.header("cache-control", "no-store");
  return context.json({ tunnel: tunnel.id, token, hostname: tunnel.hostname, name: tunnel.name });
}
