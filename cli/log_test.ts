import { deepEqual, equal, match, ok } from "node:assert/strict";
import fc from "fast-check";
import { type LogOptions, openLog } from "./log.ts";

function opened(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  let time = 0;
  const log = openLog({
    level: "info",
    format: "text",
    write: (line) => lines.push(line),
    now: () => time,
    ...options,
  });
  return { log, lines, pass: (ms: number) => (time += ms) };
}

/** The line without its time. */
function body(line: string | undefined): string {
  return (line ?? "").replace(/^\S+ /, "");
}

Deno.test("openLog() writes event and fields in one line", () => {
  const { log, lines } = opened();
  log.info("tunnel connected", {
    hostname: "a.example.com",
    port: 22,
    fresh: true,
    none: undefined,
    name: "my laptop",
  });
  match(lines[0] ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO /);
  equal(body(lines[0]), 'INFO tunnel connected hostname=a.example.com port=22 fresh=true name="my laptop"');
});

Deno.test("openLog() writes JSON lines whose own keys no field can replace", () => {
  const { log, lines } = opened({ format: "json" });
  log.warn("odd field", { level: "x", event: "y", port: 22 });
  const { time, ...rest } = JSON.parse(lines[0] ?? "{}");
  equal(typeof time, "string");
  deepEqual(rest, { level: "warn", event: "odd field", port: 22 });
  deepEqual(Object.keys(JSON.parse(lines[0] ?? "{}")).slice(0, 3), ["time", "level", "event"]);
});

Deno.test("openLog() leaves out what is below its level", () => {
  const { log, lines } = opened({ level: "warn" });
  log.debug("a");
  log.info("b");
  log.warn("c");
  log.error("d");
  deepEqual(lines.map(body), ["WARN c", "ERROR d"]);
});

Deno.test("openLog() lets no value forge a line, move the cursor or grow without bound", () => {
  for (const format of ["text", "json"] as const) {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 5_000 }), (value) => {
      const { log, lines } = opened({ format });
      log.info("visitor", { value });
      equal(lines.length, 1);
      match(lines[0] ?? "", /^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e]*$/);
      ok(new TextEncoder().encode(lines[0]).length < 2 * 1024 + 200);
    }));
  }
});

Deno.test("openLog() shows control characters once escaped", () => {
  const { log, lines } = opened();
  log.info("visitor", { agent: "a\r\nINFO forged\x1b[2J" });
  equal(body(lines[0]), 'INFO visitor agent="a\\r\\nINFO forged\\x1b[2J"');
});

Deno.test("openLog() writes at most 200 lines a second of one kind, and says how many it left out", () => {
  const { log, lines, pass } = opened();
  for (let i = 0; i < 500; i++) log.info("flood", { i });
  log.info("other");
  equal(lines.length, 201);
  pass(1_000);
  log.info("flood", { i: 500 });
  deepEqual(lines.slice(201).map(body), [
    "WARN log lines suppressed suppressed=flood count=300",
    "INFO flood i=500",
  ]);
});

Deno.test("openLog() says at its end what it left out last", () => {
  const { log, lines } = opened();
  for (let i = 0; i < 201; i++) log.info("flood");
  log[Symbol.dispose]();
  equal(body(lines.at(-1)), "WARN log lines suppressed suppressed=flood count=1");
});
