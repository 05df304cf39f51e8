import { equal, ok } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { CodedError } from "../protocol/errors.ts";
import { describeError } from "./describe_error.ts";
import { openLog } from "./log.ts";
import { redact } from "./redact.ts";

/** One of each kind of secret there is: a tunnel token, an enrolment token, a session secret. */
function canaries(): string[] {
  const random = randomBytes(32).toString("base64url");
  return [`spk_tunnel_0123456789ab_${random}`, `spk_enrol_0123456789ab_${random}`, random];
}

Deno.test("redact() leaves names, ids and fingerprints", () => {
  const text = `brave-otter-12345.example.com 0123456789abcdef ${"ab12".repeat(16)} /home/someone/.pktriot/config.json`;
  equal(redact(text), text);
});

Deno.test("redact() leaves the URL and the record of an ACME challenge, and masks the same characters elsewhere", () => {
  for (const token of canaries().slice(2)) {
    const url = `http://a.test/.well-known/acme-challenge/${token}`;
    equal(redact(`GET ${url}: 404`), `GET ${url}: 404`);
    const record = `hook present _acme-challenge.a-b.test ${token}`;
    equal(redact(record), record);
    equal(redact(`${url}/${token} /${token}`), `${url}/*** /***`);
  }
});

Deno.test("no secret gets into a log line or an error, wherever it stands", () => {
  const around = fc.string({ maxLength: 40 });
  fc.assert(
    fc.property(around, around, fc.constantFrom("text", "json"), (before, after, format) => {
      for (const canary of canaries()) {
        const lines: string[] = [];
        const log = openLog({ level: "debug", format: format as "text" | "json", write: (line) => lines.push(line) });
        const secret = `${before} ${canary} ${after}`;
        log.info("request", { url: secret });
        log.debug(secret);
        log.error("odd", { [secret]: 1 });
        lines.push(describeError(new CodedError("TOKEN_INVALID", secret)));
        const core = canary.slice(-43);
        for (const line of lines) ok(!line.includes(core), line);
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("the value of a field named after a secret is masked whatever it looks like", () => {
  const lines: string[] = [];
  const log = openLog({ level: "info", format: "text", write: (line) => lines.push(line) });
  log.info("request", { authorization: "Basic c2hvcnQ=", sessionSecret: "short", invite: "x" });
  ok(lines[0]?.endsWith("authorization=*** sessionSecret=*** invite=***"), lines[0]);
});
