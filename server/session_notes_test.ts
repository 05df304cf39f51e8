import assert from "node:assert/strict";
import { SILENT } from "../net/log.ts";
import { CodedError } from "../protocol/errors.ts";
import type { HttpRule } from "../protocol/rule.ts";
import { Metrics } from "./metrics.ts";
import { SessionNotes } from "./session_notes.ts";
import type { Session } from "./session.ts";
import { DAY_MS } from "./state/testing/state_setup.ts";
import { type SessionSetup, setUpSessions } from "./testing/session_setup.ts";

async function joined(setup: SessionSetup, owner: string): Promise<Session> {
  const { token } = await setup.state.enrolmentTokens.create({ owner, expiresInMs: null });
  const { tunnel } = await setup.state.enrol(token);
  await setup.dial(tunnel).join();
  return setup.sessions.serving(tunnel.id)!;
}

async function offer({ publisher }: Session, domain: string): Promise<string | undefined> {
  const rule: HttpRule = { kind: "http", domain, target: "127.0.0.1:80", firewall: [], service: "wiki" };
  const [state] = await publisher.apply([rule]);
  return state?.code ?? state?.state;
}

Deno.test("tidy() keeps service names that are offered; 30 days after the last offer one goes to the rule that waits", async () => {
  await using setup = await setUpSessions();
  const notes = new SessionNotes({ state: setup.state, metrics: new Metrics(), log: SILENT });
  const [first, second] = [await joined(setup, "alice"), await joined(setup, "bob")];
  assert.equal(await offer(first, "a.example.test"), "active");
  assert.equal(await offer(second, "b.example.test"), "E4023");
  setup.clock.now += 40 * DAY_MS;
  await notes.tidy(setup.sessions);
  assert.deepEqual(setup.services.byName("wiki").map(({ id }) => id), ["http/a.example.test"]);
  await first.end(new CodedError("TUNNEL_OFFLINE"));
  setup.clock.now += 30 * DAY_MS - 1;
  await notes.tidy(setup.sessions);
  assert.equal(await offer(second, "b.example.test"), "E4023");
  setup.clock.now += 1;
  await notes.tidy(setup.sessions);
  // Its turn comes behind that of what the housekeeping has begun.
  await setup.sessions.refreshService("wiki", "alice");
  assert.deepEqual(second.publisher.states.map(({ state }) => state), ["active"]);
});

Deno.test("sessions that serve are said, those of short commands only when somebody looks for them", async () => {
  await using setup = await setUpSessions();
  const said: string[] = [];
  const log = {
    ...SILENT,
    debug: (event: string) => void said.push(`debug ${event}`),
    info: (event: string) => void said.push(`info ${event}`),
  };
  const notes = new SessionNotes({ state: setup.state, metrics: new Metrics(), log });
  const { tunnel, from } = await joined(setup, "alice");
  for (const role of ["serve", "use"] as const) {
    const session = { tunnel, from, role } as Session;
    notes.joined(session);
    notes.ended(session, new CodedError("SESSION_CLOSED"), true);
  }
  assert.deepEqual(said, [
    ...["info tunnel connected", "info tunnel disconnected"],
    ...["debug tunnel connected", "debug tunnel disconnected"],
  ]);
});
