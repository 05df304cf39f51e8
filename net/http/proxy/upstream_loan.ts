import type { MaybePromise } from "../../duplex.ts";
import { StreamResetError } from "../../../protocol/errors.ts";
import type { Fields } from "../../../protocol/http/field.ts";
import type { HttpRoute, UpstreamStream } from "./http_context.ts";
import type { VisitorConnection } from "./visitor_connection.ts";

/** Schemes that authenticate the connection, not the request (RFC 4559 6). */
const CONNECTION_AUTHENTICATION = /^(?:ntlm|negotiate)\b/i;

/** Takes the stream that belongs to this visitor alone; one of another route is ended, as the visitor has turned away from it. */
export function takePinned(connection: VisitorConnection, { key }: HttpRoute): UpstreamStream | undefined {
  const { pinned } = connection;
  if (pinned === undefined || pinned.key !== key) return void finishPinned(connection);
  connection.pinned = undefined;
  return pinned.stream;
}

/** The visitor has no more use for the stream of its own. */
export function finishPinned(connection: VisitorConnection): void {
  connection.pinned?.stream.finish();
  connection.pinned = undefined;
}

/** A stream to the route's target; rejects with the coded reason why there is none. */
export function acquireStream(
  route: HttpRoute,
  connection: VisitorConnection,
  { fresh, address }: { fresh: boolean; address: string },
): MaybePromise<UpstreamStream> {
  const { peer, context } = connection;
  // The port is that of the connection, so it says nothing about a visitor whom a proxy named.
  const port = address === peer ? context.port ?? 0 : 0;
  return route.acquire({ fresh, address, port, visitor: connection });
}

/** How an exchange leaves its stream. */
export interface Returned {
  /** Whether request and answer were whole, and nothing came behind. */
  readonly clean: boolean;
  /** Whether the target takes another request on it. */
  readonly reusable: boolean;
  /** The route whose target authenticated the connection. */
  readonly pinnedTo: HttpRoute | undefined;
}

/** Ends the loan. */
export function giveBack(stream: UpstreamStream, connection: VisitorConnection, returned: Returned): void {
  const { clean, reusable, pinnedTo } = returned;
  // An answer that ended before its request, or was followed by more than it said: both sides are closed.
  if (!clean) stream.reset(new StreamResetError("The answer does not fit its request"));
  else if (!reusable) stream.finish();
  else if (pinnedTo !== undefined) connection.pinned = { key: pinnedTo.key, stream };
  else stream.release();
}

/** Whether an answer with these fields makes its connection the visitor's own. */
export function authenticatesConnection(fields: Fields): boolean {
  for (const { key, value } of fields) {
    if (key === "www-authenticate" && CONNECTION_AUTHENTICATION.test(value)) return true;
  }
  return false;
}
