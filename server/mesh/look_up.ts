import { promises as dns } from "node:dns";
import { Deadline } from "../../net/deadline.ts";
import { createDns } from "../dns.ts";
import { boundedLookUp, type LookUp } from "./bounded_look_up.ts";

export type { LookUp } from "./bounded_look_up.ts";

/** A resolver that follows a chain of servers needs one or two seconds; somebody waits for the stream. */
const ANSWER_TIMEOUT_MS = 5_000;
/**
 * Questions to the system at once. Each takes one of the runtime's 32 threads until it gives up, after half a minute with a name server
 * that is silent, and files and passwords need those threads too.
 */
const SYSTEM_QUESTIONS = 16;
/** More answers are a fault of the name, or an attempt to keep us busy. */
const MAX_ANSWERS = 64;

const askSystem = boundedLookUp(addressesBySystem, SYSTEM_QUESTIONS);

/** Looks names up at the given resolvers, or as the system does, which knows `/etc/hosts` too. @throws {CodedError} CONFIG_INVALID */
export function createLookUp(resolvers: readonly string[]): LookUp {
  const ask = resolvers.length === 0 ? askSystem : createDns({ resolvers }).addresses;
  return async (name, signal) => {
    const late = new AbortController();
    using _deadline = new Deadline(ANSWER_TIMEOUT_MS, () => late.abort(new Deno.errors.TimedOut("nobody answered")));
    const limited = AbortSignal.any([signal, late.signal]);
    const addresses = await ask(name, limited);
    limited.throwIfAborted(); // A resolver of ours then gives none.
    return addresses;
  };
}

/** Whether there are more answers than anybody needs. */
export function isTooMany(answers: readonly string[]): boolean {
  return answers.length > MAX_ANSWERS;
}

async function addressesBySystem(name: string): Promise<string[]> {
  try {
    return (await dns.lookup(name, { all: true, order: "verbatim" })).map(({ address }) => address);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOTFOUND") return [];
    throw error;
  }
}
