import { deepEqual } from "node:assert/strict";
import { renderTable } from "./table.ts";

Deno.test("renderTable() draws an ASCII box with one rule below the head", () => {
  deepEqual(renderTable(["Domain", "HTTP"], [["a.example.com", 80], ["b", 8080]]), [
    "+---------------+------+",
    "| Domain        | HTTP |",
    "+---------------+------+",
    "| a.example.com | 80   |",
    "| b             | 8080 |",
    "+---------------+------+",
  ]);
});

Deno.test("renderTable() draws the head of an empty table", () => {
  deepEqual(renderTable(["Port"], []), ["+------+", "| Port |", "+------+"]);
});

Deno.test("renderTable() escapes what a remote side sent", () => {
  deepEqual(renderTable(["Name"], [["\x1b[31mred\nline"]]), [
    "+-------------------+",
    "| Name              |",
    "+-------------------+",
    "| \\x1b[31mred\\nline |",
    "+-------------------+",
  ]);
});
