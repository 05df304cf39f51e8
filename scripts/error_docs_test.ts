import assert from "node:assert/strict";
import { ERRORS } from "../protocol/errors.ts";
import { renderErrorDocs } from "./error_docs.ts";

const REFUSED = { code: "E2001", title: "The target refused | closed", fix: "Start it." };
const GONE = { code: "E2003", title: "The name is gone", fix: "Correct it." };

Deno.test("docs/errors.md is what protocol/errors.ts says, and no code got a second meaning", async () => {
  const text = await Deno.readTextFile(new URL("../docs/errors.md", import.meta.url));
  assert.equal(renderErrorDocs(ERRORS, text), text, "run `deno task errors`");
});

Deno.test("every error code is well-formed, unique and in the docs", () => {
  const names = new Map<string, string>();
  const text = renderErrorDocs(ERRORS);
  for (const [name, { code }] of Object.entries(ERRORS)) {
    assert.match(code, /^E\d{4}$/, name);
    assert.equal(names.get(code), undefined, `${code} is given twice`);
    assert.ok(text.includes(`\n| ${code} | \`${name}\` |`), `${code} has a group`);
    names.set(code, name);
  }
});

Deno.test("renderErrorDocs() sorts by code and escapes what would break a table", () => {
  const text = renderErrorDocs({ GONE, REFUSED });
  assert.ok(text.includes(
    "| E2001 | `REFUSED` | The target refused \\| closed | Start it. |\n| E2003 | `GONE` | The name is gone | Correct it. |\n",
  ));
});

Deno.test("renderErrorDocs() keeps a code that left the registry, for good", () => {
  const once = renderErrorDocs({ GONE }, renderErrorDocs({ GONE, REFUSED }));
  assert.ok(once.endsWith("\n| E2001 | `REFUSED` | The target refused \\| closed |\n"));
  assert.equal(renderErrorDocs({ GONE }, once), once);
});

Deno.test("renderErrorDocs() refuses to give a code to another error", () => {
  const before = renderErrorDocs({ GONE, REFUSED });
  assert.throws(() => renderErrorDocs({ GONE, OTHER: REFUSED }, before), /Cannot give E2001 to OTHER: it was REFUSED/);
  const retired = renderErrorDocs({ GONE }, before);
  assert.throws(() => renderErrorDocs({ GONE, OTHER: REFUSED }, retired), /Cannot give E2001 to OTHER: it was REFUSED/);
});
