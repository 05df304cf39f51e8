import { CodedError } from "../../protocol/errors.ts";

/** Each lost attempt means that somebody else succeeded, so this many only fail together when far more fight for one key. */
const MAX_ATTEMPTS = 200;

/** Runs a read-decide-write step again until no other writer was faster; throws `STATE_CONFLICT` after 200 losses. */
export async function retryOnConflict<T>(step: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof CodedError) || error.kind !== "STATE_CONFLICT" || attempt >= MAX_ATTEMPTS) throw error;
    }
  }
}
