import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { CodedError, type ErrorName, ERRORS } from "../../../protocol/errors.ts";
import { errorPage } from "./pages.ts";

Deno.test("errorPage() escapes whatever a client or visitor could have put into a reason", () => {
  const page = errorPage(new CodedError("BAD_REQUEST", `<script>alert('x')</script>"&`), "text/html");
  assert.doesNotMatch(page.body, /<script|'x'/);
  assert.match(page.body, /&lt;script&gt;alert\(&#39;x&#39;\)&lt;\/script&gt;&quot;&amp;/);
});

Deno.test("errorPage() says JSON when Accept names it before HTML", () => {
  const error = new CodedError("TUNNEL_OFFLINE", "since noon");
  for (const accept of ["application/json", "application/problem+json, */*", "application/json, text/html"]) {
    const page = errorPage(error, accept);
    assert.deepEqual(JSON.parse(page.body), {
      status: 503,
      code: "E1503",
      title: ERRORS.TUNNEL_OFFLINE.title,
      detail: "since noon",
      fix: ERRORS.TUNNEL_OFFLINE.fix,
    });
    assert.equal(new Map(page.fields).get("Content-Type"), "application/json");
  }
  for (const accept of [undefined, "", "*/*", "text/html, application/json"]) {
    assert.match(errorPage(error, accept).body, /^<!doctype html>/);
  }
});

Deno.test("errorPage() is never stored, runs nothing, and its one style is the allowed one", () => {
  const page = errorPage(new CodedError("UNKNOWN_HOST"), undefined);
  const fields = new Map(page.fields);
  assert.equal(fields.get("Cache-Control"), "no-store");
  const style = /<style>([^<]*)<\/style>/.exec(page.body)?.[1] ?? "";
  const hash = createHash("sha256").update(style).digest("base64");
  assert.ok(fields.get("Content-Security-Policy")?.startsWith(`default-src 'none'; style-src 'sha256-${hash}'`));
});

Deno.test("errorPage() keeps the cause of an unexpected error, and where a target is, to the log", () => {
  const cases = [["INTERNAL", 500], ["TARGET_REFUSED", 502], ["WEBROOT_UNREADABLE", 502], [
    "TARGET_TIMEOUT",
    504,
  ]] as const;
  for (const [kind, status] of cases) {
    for (const accept of ["application/json", "text/html"]) {
      const page = errorPage(new CodedError(kind, "secret path"), accept);
      assert.equal(page.status, status);
      assert.doesNotMatch(page.body, /secret/);
      assert.ok(page.body.includes(ERRORS[kind].title) && page.body.includes(ERRORS[kind].code));
    }
  }
});

Deno.test("every error has a page with its code", () => {
  for (const kind of Object.keys(ERRORS) as ErrorName[]) {
    const page = errorPage(new CodedError(kind), undefined);
    assert.ok(page.status >= 400 && page.status < 600 && page.body.includes(ERRORS[kind].code), kind);
  }
});
