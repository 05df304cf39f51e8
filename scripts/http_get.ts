import { get } from "node:http";

const DEFAULT_TIMEOUT_MS = 10_000;

/** A GET of `/` at a port of loopback under a given name, on a connection of its own: not every system knows names under localhost. */
export function httpGet(
  port: number,
  host: string,
  options: { timeoutMs?: number } = {},
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const timeout = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const request = get({ host: "127.0.0.1", port, headers: { host }, agent: false, timeout }, (response) => {
    let text = "";
    response.setEncoding("utf8");
    response.on("data", (part: string) => text += part);
    response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    response.on("error", reject);
  });
  request.on("error", reject);
  request.on("timeout", () => request.destroy(new Error(`Cannot wait longer than ${timeout} ms for ${host}`)));
  return promise;
}
