import net from "node:net";
import { CodedError } from "../protocol/errors.ts";

/** A unix socket that is open. */
export interface BoundPath extends AsyncDisposable {
  readonly path: string;
  /** Takes no more connections and removes the socket; connections that are open go on. Idempotent. */
  stop(): void;
}

/** Only the user that runs us may connect: whoever may use the socket goes where it leads. */
const SOCKET_UMASK = 0o177;

/**
 * Listens on a unix socket, which this user alone may use. One that a program left behind, so that nobody answers on it, is replaced;
 * whatever else is there stays.
 * @throws {CodedError} LISTEN_FAILED, with the reason in its message
 */
export async function listenUnix(path: string, onSocket: (socket: net.Socket) => void): Promise<BoundPath> {
  try {
    return await bind(path, onSocket);
  } catch (error) {
    if (reasonOf(error) !== "EADDRINUSE" || !await isLeftBehind(path)) throw failed(path, error);
    await Deno.remove(path).catch(() => {/* somebody else was quicker */});
  }
  try {
    return await bind(path, onSocket);
  } catch (error) {
    throw failed(path, error);
  }
}

function bind(path: string, onSocket: (socket: net.Socket) => void): Promise<BoundPath> {
  const { promise, resolve, reject } = Promise.withResolvers<BoundPath>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    try {
      onSocket(socket);
    } catch {
      socket.destroy(); // Whatever is wrong with this connection concerns no other (security R2).
    }
  });
  let closed: Promise<void> | null = null;
  function stop(): void {
    closed ??= new Promise((done) => server.close(() => done()));
  }
  server.once("error", reject);
  const restore = restrictMode();
  try {
    // The socket is made in this very call, so that it never has another mode.
    server.listen({ path }, () => {
      server.off("error", reject);
      server.on("error", () => {
        // A failed accept concerns one visitor, not the listener.
      });
      resolve({
        path,
        stop,
        [Symbol.asyncDispose](): Promise<void> {
          stop();
          return Promise.resolve();
        },
      });
    });
  } finally {
    restore();
  }
  return promise;
}

function restrictMode(): () => void {
  if (Deno.build.os === "windows") return () => {};
  const before = Deno.umask(SOCKET_UMASK);
  return () => void Deno.umask(before);
}

/** Whether there is a socket, and nobody listens on it any more. */
async function isLeftBehind(path: string): Promise<boolean> {
  const { isSocket } = await Deno.lstat(path).catch(() => ({ isSocket: false }));
  if (isSocket !== true) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect({ path });
  socket.once("connect", () => resolve(false));
  socket.once("error", (error) => resolve(reasonOf(error) === "ECONNREFUSED"));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

function reasonOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error);
}

function failed(path: string, cause: unknown): CodedError {
  const code = reasonOf(cause);
  const reason = code === "EADDRINUSE"
    ? "something is there already"
    : code === "ENOENT"
    ? "there is no such folder"
    : code === "EACCES"
    ? "permission denied"
    : (cause as Error).message;
  return new CodedError("LISTEN_FAILED", `Cannot listen on unix:${path}: ${reason}`, { cause });
}
