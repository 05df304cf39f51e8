import Table from "cli-table3";
import { escapeText } from "./escape_text.ts";

const ASCII_BOX = {
  "top": "-",
  "top-mid": "+",
  "top-left": "+",
  "top-right": "+",
  "bottom": "-",
  "bottom-mid": "+",
  "bottom-left": "+",
  "bottom-right": "+",
  "left": "|",
  "left-mid": "+",
  "mid": "-",
  "mid-mid": "+",
  "right": "|",
  "right-mid": "+",
  "middle": "|",
};

/** A boxed table as lines: plain ASCII, no colour, one separator below the head. Cells are escaped. */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly (string | number | boolean)[])[],
): string[] {
  const table = new Table({ head: [...head], chars: ASCII_BOX, style: { head: [], border: [], compact: false } });
  for (const row of rows) table.push(row.map((cell) => escapeText(String(cell))));
  const lines = table.toString().split("\n");
  const rule = lines[0];
  // The library rules off every row; only the frame and the line below the head are wanted.
  return lines.filter((line, index) => line !== rule || index <= 2 || index === lines.length - 1);
}
