import assert from "node:assert/strict";
import { join } from "node:path";
import { type LogFields, SILENT } from "../log.ts";
import { DnsHook } from "./dns_hook.ts";
import { programTest } from "../testing/programs.ts";

const RECORD = "_acme-challenge.example.com";
const NEVER = new AbortController().signal;
const POSIX = Deno.build.os !== "windows";

interface Script extends AsyncDisposable {
  readonly path: string;
  readonly folder: string;
  /** What the script wrote to the file `out` beside it. */
  out(): Promise<string>;
}

async function script(body: string, mode = 0o700): Promise<Script> {
  const folder = await Deno.makeTempDir({ prefix: "spokes-hook-" });
  const path = join(folder, "a hook.sh");
  await Deno.writeTextFile(path, `#!/bin/sh\ncd "${folder}"\n${body}\n`);
  await Deno.chmod(path, mode);
  return {
    path,
    folder,
    out: () => Deno.readTextFile(join(folder, "out")),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

function hook(path: string, options: { timeoutMs?: number; log?: typeof SILENT } = {}): DnsHook {
  return new DnsHook({ path, propagation: "skip", log: SILENT, ...options });
}

programTest(
  "the hook is called with action, record and value, as arguments and in the environment",
  ["sh"],
  async () => {
    await using file = await script(
      `echo "$#|$1|$2|$3|$SPOKES_ACME_ACTION|$SPOKES_ACME_RECORD|$SPOKES_ACME_VALUE" >>out; echo ignored`,
    );
    const value = `$(touch x); -n "'`;
    {
      await using _record = await hook(file.path).publish(RECORD, value, NEVER);
      assert.equal(await file.out(), `3|present|${RECORD}|${value}|present|${RECORD}|${value}\n`);
    }
    assert.match(await file.out(), /\n3\|cleanup\|/);
    await assert.rejects(Deno.stat(join(file.folder, "x")), Deno.errors.NotFound);
  },
);

programTest("a hook that fails is reported with its code and the end of its standard error", ["sh"], async () => {
  await using file = await script(
    `head -c 100000 /dev/zero | tr '\\0' x >&2; printf 'no\\nsuch zone\\033[1m\\n' >&2; exit 3`,
  );
  await assert.rejects(hook(file.path).publish(RECORD, "v", NEVER), (error: Error & { kind?: string }) => {
    assert.equal(error.kind, "DNS_HOOK_FAILED");
    assert.match(
      error.message,
      /^the DNS hook failed with code 3: x+no such zone \[1m; try .*a hook\.sh present _acme-/,
    );
    assert.ok(error.message.length < 5_000);
    return true;
  });
});

programTest("a hook that hangs is killed with its children", ["sh"], async () => {
  await using file = await script(`sleep 1000 & echo $! >out; wait`);
  await assert.rejects(hook(file.path, { timeoutMs: 1_000 }).publish(RECORD, "v", NEVER), {
    kind: "DNS_HOOK_FAILED",
    message: /did not end within 1 s/,
  });
  await assertGone(Number(await file.out()));
});

programTest("a hook is killed when the order is given up", ["sh"], async () => {
  await using file = await script(`echo $$ >new; mv new out; exec sleep 1000`);
  const controller = new AbortController();
  const reason = new Error("enough");
  const rejected = assert.rejects(hook(file.path).publish(RECORD, "v", controller.signal), reason);
  const pid = await written(file);
  controller.abort(reason);
  await rejected;
  await assertGone(pid);
});

programTest("a failing cleanup is logged and does no harm", ["sh"], async () => {
  await using file = await script(`test "$1" = present || { echo gone >&2; exit 1; }`);
  const warnings: LogFields[] = [];
  const log = { ...SILENT, warn: (_event: string, fields: LogFields = {}) => void warnings.push(fields) };
  await (await hook(file.path, { log }).publish(RECORD, "v", NEVER))[Symbol.asyncDispose]();
  assert.equal(warnings.length, 1);
  assert.match(String(warnings[0]?.reason), /failed with code 1: gone/);
});

for (
  const [what, mode, reason] of [
    ["its group may write to", 0o770, /chmod go-w/],
    ["everybody may write to", 0o757, /chmod go-w/],
    ["is not executable", 0o600, /chmod \+x/],
  ] as const
) {
  Deno.test({
    name: `a hook that ${what} is not run (security R15)`,
    ignore: !POSIX,
    async fn() {
      await using file = await script(`echo ran >out`, mode);
      await assert.rejects(hook(file.path).publish(RECORD, "v", NEVER), { kind: "DNS_HOOK_FAILED", message: reason });
      await assert.rejects(file.out(), Deno.errors.NotFound);
    },
  });
}

Deno.test({
  name: "a hook of another user is not run, also not by root (security R15)",
  ignore: !POSIX || Deno.uid() !== 0, // Nobody else can give a file away.
  async fn() {
    await using file = await script(`echo ran >out`);
    await Deno.chown(file.path, 65_534, null);
    const message = /it belongs to user 65534/;
    await assert.rejects(hook(file.path).publish(RECORD, "v", NEVER), { kind: "DNS_HOOK_FAILED", message });
    await assert.rejects(file.out(), Deno.errors.NotFound);
  },
});

Deno.test("a hook in a folder where everybody may replace it is not run, nor is one that is not there", async () => {
  await using file = await script(`echo ran >out`);
  await Deno.chmod(file.folder, 0o707);
  await assert.rejects(hook(file.path).publish(RECORD, "v", NEVER), { message: /in its folder/ });
  await assert.rejects(hook(`${file.path}x`).publish(RECORD, "v", NEVER), { message: /there is no such file/ });
  await assert.rejects(hook(file.folder).publish(RECORD, "v", NEVER), { message: /it is not a file/ });
});

/** The process id that the script writes, once it is there. */
async function written(file: Script): Promise<number> {
  for (let looks = 0; looks < 500; looks++) {
    try {
      return Number(await file.out());
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10)); // Not yet.
    }
  }
  return assert.fail("the script did not start");
}

/** Settles when there is no such process any more (a zombie is none). */
async function assertGone(pid: number): Promise<void> {
  for (let looks = 0; looks < 500; looks++) {
    try {
      if (/^State:\s+Z/m.test(await Deno.readTextFile(`/proc/${pid}/status`))) return;
    } catch {
      return; // It is gone.
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`process ${pid} still runs`);
}
