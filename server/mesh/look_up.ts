import { promises as dns } from "node:dns";
import { Deadline } from "../../net/deadline.ts";
import { createDns } from "../dns.ts";

/** The addresses of a canonical host name, in the order in which they should be tried; none when it has none. Rejects when `signal` aborts. */
export type LookUp = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

/** A resolver that follows a chain of servers needs one or two seconds; somebody waits for the stream. */
const ANSWER_TIMEOUT_MS = 5_000;
/** More answers are a fault of the name, or an attempt to keep us busy. */
const MAX_ANSWERS = 64;

/** Looks names up at the given resolvers, or as the system does, which knows `/etc/hosts` too. @throws {CodedError} CONFIG_INVALID */
export function createLookUp(resolvers: readonly string[]): LookUp {
  const ask = resolvers.length === 0 ? askSystem : createDns({ resolvers }).addresses;
  return async (name, signal) => {
    const late = new AbortController();
    using _deadline = new Deadline(ANSWER_TIMEOUT_MS, () => late.abort(new Deno.errors.TimedOut("nobody answered")));
    return await withSignal(ask(name, signal), AbortSignal.any([signal, late.signal]));
  };
}

/** Whether there are more answers than anybody needs. */
export function isTooMany(answers: readonly string[]): boolean {
  return answers.length > MAX_ANSWERS;
}

async function askSystem(name: string): Promise<string[]> {
  try {
    return (await dns.lookup(name, { all: true, order: "verbatim" })).map(({ address }) => address);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOTFOUND") return [];
    throw error;
  }
}

/** The system's resolver cannot be called off: it is not waited for any longer. */
function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
