import { negotiateConnect } from "../../net/connect_proxy.ts";
import type { Duplex } from "../../net/duplex.ts";
import type { BasicAuth } from "../../net/http/proxy/basic_auth.ts";
import { pipe } from "../../net/pipe.ts";
import type { ProxyOptions, ProxyRequest } from "../../net/proxy_request.ts";
import type { SocketDuplex } from "../../net/socket_duplex.ts";
import { negotiateSocks } from "../../net/socks/serve_socks.ts";
import type { Destination } from "../../protocol/destination.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { Door } from "./door.ts";

/** After one direction ended, the other may be silent for so long (the same as at the server). */
const LINGER_MS = 300_000;

/** Opens connections into the mesh. */
export type MeshConnect = (destination: Destination, options: { signal: AbortSignal }) => Promise<Duplex>;

/** What serving a visitor of a door needs. */
export interface VisitorParts {
  readonly door: Door;
  /** Who may come in; everybody without it. */
  readonly auth: BasicAuth | undefined;
  /** Address of the visitor. */
  readonly from: string;
  readonly connect: MeshConnect;
  /** Told why a destination could not be connected. */
  readonly onRefused: (error: CodedError) => void;
}

/**
 * Joins a visitor to where the door leads, or to where it asks to go, until both have ended.
 * @throws {CodedError} why it could not be joined, after it was told; or why it was cut
 */
export async function serveVisitor(visitor: SocketDuplex, parts: VisitorParts): Promise<void> {
  const request = await requestOf(visitor, parts);
  const gone = new AbortController();
  void visitor.closed.then(() => gone.abort(new CodedError("STREAM_RESET", "The visitor has left")));
  let stream: Duplex;
  try {
    stream = await parts.connect(request.destination, { signal: gone.signal });
  } catch (error) {
    const coded = toCodedError(error);
    if (!gone.signal.aborted) parts.onRefused(coded);
    await request.fail(coded);
    throw coded;
  }
  try {
    await request.succeed();
  } catch (error) {
    stream.reset(error);
    throw error;
  }
  await pipe(visitor, stream, { lingerMs: LINGER_MS });
}

/** The only thing a visitor of a port map can be told is a reset. */
function requestOf(
  visitor: SocketDuplex,
  { door, auth, from }: VisitorParts,
): Promise<Pick<ProxyRequest<true>, "destination" | "succeed" | "fail">> {
  if (door.kind === "map") {
    return Promise.resolve({
      destination: door.destination,
      succeed() {},
      fail(error) {
        visitor.reset(error);
        return Promise.resolve();
      },
    });
  }
  const options = auth === undefined ? {} : { authenticate: authenticator(auth, from) };
  return door.kind === "socks" ? negotiateSocks(visitor, options) : negotiateConnect(visitor, options);
}

function authenticator(auth: BasicAuth, from: string): NonNullable<ProxyOptions<true>["authenticate"]> {
  return async (user, password) => {
    try {
      await auth.checkCredential({ user, password }, from);
      return true;
    } catch (error) {
      if (error instanceof CodedError && error.kind === "UNAUTHORIZED") return null;
      throw error;
    }
  };
}
