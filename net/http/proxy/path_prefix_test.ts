import assert from "node:assert/strict";
import { pathRewriter } from "./path_prefix.ts";

function rewritten(target: string, stripPrefix?: string, addPrefix?: string): string | undefined {
  const rewrite = pathRewriter({ stripPrefix, addPrefix });
  try {
    return rewrite(target);
  } catch (error) {
    assert.equal((error as { kind?: string }).kind, "UNKNOWN_PATH");
    return undefined;
  }
}

Deno.test("a prefix is stripped at the boundary of a segment only, and nothing is decoded", () => {
  for (
    const [target, expected] of [
      ["/app", "/"],
      ["/app/", "/"],
      ["/app/x/y", "/x/y"],
      ["/app?q=/app/x", "/?q=/app/x"],
      ["/app/?q", "/?q"],
      ["/app//x", "//x"],
      ["/app/app/x", "/app/x"],
      ["/app/%2e%2e/x", "/%2e%2e/x"],
      ["/app/../x", "/../x"],
      ["/app%2fx", undefined],
      ["/apple", undefined],
      ["/app.txt", undefined],
      ["/%61pp/x", undefined],
      ["/App/x", undefined],
      ["//app/x", undefined],
      ["/x/app/", undefined],
      ["/?/app/", undefined],
      ["/", undefined],
      ["*", undefined],
      ["a.example:443", undefined],
    ] as const
  ) {
    assert.equal(rewritten(target, "/app"), expected, target);
  }
});

Deno.test("a prefix is added in front of the path, behind which nothing climbs out of it", () => {
  for (
    const [target, expected] of [
      ["/", "/v1/"],
      ["/x?y=../..", "/v1/x?y=../.."],
      ["/...", "/v1/..."],
      ["/.well-known/x", "/v1/.well-known/x"],
      ["/a..b/c.", "/v1/a..b/c."],
      ["/..", undefined],
      ["/../x", undefined],
      ["/x/./y", undefined],
      ["/x/%2E%2e/y", undefined],
      ["/x/.%2e", undefined],
      ["/x%2f..%2fy", undefined],
      ["/x\\..\\y", undefined],
      ["/x%5C..%5cy", undefined],
      ["/x/..;a=b/y", undefined],
      ["/..?q", undefined],
      ["/..%00/x", undefined],
      ["/x/..%20%09/y", undefined],
      ["/x/..%20", undefined],
      ["/x/..%20%00.html", undefined],
      ["/x/.%20file", "/v1/x/.%20file"],
      ["*", undefined],
    ] as const
  ) {
    assert.equal(rewritten(target, undefined, "/v1"), expected, target);
  }
  assert.equal(rewritten("/app/x", "/app", "/v1/y"), "/v1/y/x");
  assert.equal(rewritten("/app", "/app", "/v1"), "/v1/");
  assert.equal(rewritten("/app/..", "/app", "/v1"), undefined);
});

Deno.test("prefixes with segments of dots are refused", () => {
  for (const prefix of ["/..", "/a/.", "/%2e%2e/a"]) {
    assert.throws(() => pathRewriter({ stripPrefix: prefix, addPrefix: undefined }), { kind: "RULE_INVALID" });
    assert.throws(() => pathRewriter({ stripPrefix: undefined, addPrefix: prefix }), { kind: "RULE_INVALID" });
  }
});
