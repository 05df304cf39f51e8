import assert from "node:assert/strict";
import { CodedError, type ErrorName } from "../../../protocol/errors.ts";
import { MemoryStore } from "../../store/memory_store.ts";
import type { Store } from "../../store/store.ts";
import type { Grants } from "../grants.ts";
import { openServerState, type ServerState, type ServerStateOptions } from "../server_state.ts";
import type { IssuedTunnel } from "../tunnels.ts";

export const MINUTE_MS = 60_000;
export const DAY_MS = 24 * 60 * MINUTE_MS;

/** A state in memory with a clock that stands still until it is moved. */
export interface StateSetup extends AsyncDisposable {
  readonly state: ServerState;
  readonly store: Store;
  readonly clock: { now: number };
  /** Another process on the same store. */
  another(): Promise<ServerState>;
  /** Enrols a tunnel with these grants. */
  tunnel(grants?: Partial<Grants>): Promise<IssuedTunnel>;
}

/** Opens a state for `example.test` with the ports 22000-22009. */
export async function setUpState(
  options: Partial<ServerStateOptions> & { readonly store?: Store } = {},
): Promise<StateSetup> {
  const store = options.store ?? new MemoryStore();
  const clock = { now: Date.UTC(2030, 0, 1) };
  const resolved: ServerStateOptions = {
    domain: "example.test",
    hostname: "tunnel.example.test",
    ports: { from: 22_000, to: 22_009 },
    now: () => clock.now,
    ...options,
  };
  const states = [await openServerState(store, resolved)];
  const state = states[0]!;
  return {
    state,
    store,
    clock,
    async another(): Promise<ServerState> {
      const other = await openServerState(store, resolved);
      states.push(other);
      return other;
    },
    async tunnel(grants = {}): Promise<IssuedTunnel> {
      const { token } = await state.enrolmentTokens.create({ grants });
      return await state.enrol(token);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      for (const each of states) each[Symbol.dispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

/** Asserts that the work fails with the coded error. */
export async function assertFails(work: Promise<unknown>, kind: ErrorName): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(error.kind, kind, error.message);
    return true;
  });
}
