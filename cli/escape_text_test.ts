import { equal, match } from "node:assert/strict";
import fc from "fast-check";
import { escapeText } from "./escape_text.ts";

Deno.test("escapeText() leaves ordinary text alone", () => {
  equal(escapeText("blog.example.com → Grüße, 世界 👍"), "blog.example.com → Grüße, 世界 👍");
});

Deno.test("escapeText() shows what could move the cursor or hide text", () => {
  equal(escapeText("a\x1b[2Jb\r\nc\x07\x9b\u202ed\ufeff"), "a\\x1b[2Jb\\r\\nc\\x07\\x9b\\u202ed\\ufeff");
});

Deno.test("escapeText() never lets a control character through", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    match(escapeText(text), /^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e]*$/);
  }));
});
