import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { CodedError, type ErrorName } from "../../protocol/errors.ts";
import type { Duplex } from "../duplex.ts";
import { memoryPair } from "../memory_duplex.ts";
import type { ProxyOptions, ProxyRequest } from "../proxy_request.ts";
import { pushback } from "../testing/pushback.ts";
import { negotiateSocks } from "./serve_socks.ts";

const GREETING = "050100";
const REQUEST = "0501000305726564697318eb";
const LOGIN = `050102${"0103626f6206736563726574"}`;
const SUCCEEDED = "05000001000000000000";

type Outcome = { request: ProxyRequest<string>; error?: undefined } | { request?: undefined; error: CodedError };

interface Visit {
  readonly client: Duplex;
  readonly outcome: Promise<Outcome>;
  send(hex: string): Promise<void>;
  /** Everything that came until the end, in hexadecimal; with how it ended. */
  received(): Promise<{ hex: string; end: "end" | "reset" }>;
}

function visit(options: ProxyOptions<string> = {}): Visit {
  const [near, client] = memoryPair();
  const outcome = negotiateSocks(pushback(near), options)
    .then((request): Outcome => ({ request }), (error): Outcome => ({ error }));
  return {
    client,
    outcome,
    async send(hex) {
      await client.write(new Uint8Array(Buffer.from(hex, "hex")));
    },
    async received() {
      let hex = "";
      try {
        for (let bytes = await client.read(); bytes !== null; bytes = await client.read()) {
          hex += Buffer.from(bytes).toString("hex");
        }
        await client.closeWrite();
        return { hex, end: "end" };
      } catch {
        return { hex, end: "reset" };
      }
    },
  };
}

function bob(user: string, password: string): string | null {
  return user === "bob" && password === "secret" ? "identity of bob" : null;
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve));
}

for (const [name, hex, options] of [["nobody", GREETING, {}], ["bob", LOGIN, { authenticate: bob }]] as const) {
  const whole = hex + REQUEST;
  Deno.test(`a request of ${name} is taken wherever it is split, and what is behind it is read next`, async () => {
    for (let cut = 2; cut <= whole.length; cut += 2) {
      const { client, outcome, send } = visit(options);
      await send(whole.slice(0, cut));
      await settle();
      await send(`${whole.slice(cut)}cafe`);
      const { request } = await outcome;
      assert.deepEqual(request?.destination, { transport: "tcp", host: "redis", port: 6379 }, `cut after ${cut / 2}`);
      assert.equal(request.identity, name === "bob" ? "identity of bob" : undefined);
      await request.succeed();
      const answers = `${name === "bob" ? "05020100" : "0500"}${SUCCEEDED}`;
      let answered = "";
      while (answered.length < answers.length) answered += Buffer.from(await client.read() ?? []).toString("hex");
      assert.equal(answered, answers);
      client.reset();
    }
  });

  Deno.test(`a client that ends before its request is whole (${name}) is cut, wherever it ends (R56)`, async () => {
    for (let cut = 0; cut < whole.length; cut += 2) {
      const { client, outcome, send, received } = visit(options);
      await send(whole.slice(0, cut));
      await client.closeWrite();
      assert.equal((await outcome).error?.kind, "SOCKS_INVALID", `cut after ${cut / 2}`);
      assert.equal((await received()).end, "reset");
    }
  });

  Deno.test(`a request of ${name} that stops anywhere is cut at the deadline`, async () => {
    const visits = [];
    for (let cut = 0; cut < whole.length; cut += 2) {
      const waiting = visit({ ...options, deadlineMs: 20 });
      await waiting.send(whole.slice(0, cut));
      visits.push(waiting);
    }
    for (const { outcome, received } of visits) {
      assert.equal((await outcome).error?.kind, "REQUEST_TIMEOUT");
      assert.equal((await received()).end, "reset");
    }
  });
}

Deno.test("bytes behind a request are read next from its connection", async () => {
  const [near, client] = memoryPair();
  const duplex = pushback(near);
  const negotiated = negotiateSocks(duplex);
  await client.write(new Uint8Array(Buffer.from(`${GREETING}${REQUEST}cafe`, "hex")));
  const request = await negotiated;
  assert.deepEqual(await duplex.read(), new Uint8Array([0xca, 0xfe]));
  await request.succeed();
  let answer = "";
  while (answer.length < 24) answer += Buffer.from(await client.read() ?? []).toString("hex");
  assert.equal(answer, `0500${SUCCEEDED}`);
  client.reset();
});

const REFUSALS: readonly [
  name: string,
  sent: string,
  answer: string,
  kind: ErrorName,
  options?: ProxyOptions<string>,
][] = [
  ["a client without an acceptable method", "050102", "05ff", "PROXY_UNAUTHORIZED"],
  ["a client that does not say who it is", GREETING, "05ff", "PROXY_UNAUTHORIZED", { authenticate: bob }],
  ["a wrong password", "0501020103626f6201780501", "05020101", "PROXY_UNAUTHORIZED", { authenticate: bob }],
  ["BIND", `${GREETING}05020001`, "050005070001000000000000", "SOCKS_UNSUPPORTED"],
  ["UDP ASSOCIATE", `${GREETING}0503000100000000`, "050005070001000000000000", "SOCKS_UNSUPPORTED"],
  ["an unknown type of address", `${GREETING}0501000900`, "050005080001000000000000", "SOCKS_ADDRESS_TYPE"],
  ["a malformed name", `${GREETING}05010003012f0050`, "050005040001000000000000", "DESTINATION_INVALID"],
  ["too many guesses", LOGIN, "05020101", "TOO_MANY_ATTEMPTS", {
    authenticate: () => Promise.reject(new CodedError("TOO_MANY_ATTEMPTS")),
  }],
];

for (const [name, sent, answer, kind, options] of REFUSALS) {
  Deno.test(`${name} is told, and the connection ends cleanly behind it`, async () => {
    const { outcome, send, received } = visit(options);
    await send(sent);
    assert.deepEqual(await received(), { hex: answer, end: "end" });
    assert.equal((await outcome).error?.kind, kind);
  });
}

for (const garbage of ["04010050", "474554202f", "16030100", "ff", "0500"]) {
  Deno.test(`${garbage} is no SOCKS5: cut without an answer`, async () => {
    const { outcome, send, received } = visit();
    await send(garbage);
    assert.deepEqual(await received(), { hex: "", end: "reset" });
    assert.equal((await outcome).error?.kind, "SOCKS_INVALID");
  });
}

Deno.test("where one may come without credentials, whoever has some is asked for them all the same", async () => {
  const options = { authenticate: bob, anonymous: () => "nobody" };
  for (
    const [sent, answer, identity] of [
      [GREETING + REQUEST, "0500", "nobody"],
      [`05020002${LOGIN.slice(6)}${REQUEST}`, "05020100", "identity of bob"],
    ] as const
  ) {
    const { client, outcome, send } = visit(options);
    await send(sent);
    assert.equal((await outcome).request?.identity, identity);
    let answered = "";
    while (answered.length < answer.length) answered += Buffer.from(await client.read() ?? []).toString("hex");
    assert.equal(answered, answer);
    client.reset();
  }
  const wrong = visit(options);
  await wrong.send("05020002" + "0103626f6203626164");
  assert.deepEqual(await wrong.received(), { hex: "05020101", end: "end" });
  const closed = visit({ authenticate: bob, anonymous: () => null });
  await closed.send(GREETING);
  assert.deepEqual(await closed.received(), { hex: "05ff", end: "end" });
});

Deno.test("a destination that cannot be reached is told by its reply", async () => {
  for (const [kind, code] of [["TARGET_REFUSED", "05"], ["DESTINATION_DENIED", "02"], ["INTERNAL", "01"]] as const) {
    const { outcome, send, received } = visit();
    await send(GREETING + REQUEST);
    const { request } = await outcome;
    const failed = request!.fail(new CodedError(kind));
    assert.deepEqual(await received(), { hex: `050005${code}0001000000000000`, end: "end" });
    await failed;
  }
});
