import { fileURLToPath } from "node:url";
import { ERRORS } from "../protocol/errors.ts";

/** What the docs say about one error. */
export interface ErrorEntry {
  readonly code: string;
  readonly title: string;
  readonly fix: string;
}

/** The groups of codes by their first digit; a new group of codes needs its line here. */
const GROUPS: Readonly<Record<string, string>> = {
  "1": "Visitors and the edge",
  "2": "The client and its target",
  "3": "Credentials, sessions and the tunnel protocol",
  "4": "Names, ports and rules",
  "5": "Configuration and commands",
  "6": "The state of the server",
  "7": "Certificates from a CA (ACME)",
};

const INTRODUCTION = `# Error codes

<!-- Written by \`deno task errors\` from protocol/errors.ts: do not edit. -->

Every failure has a code that never changes its meaning. The same code stands on the visitor's page, in the logs of both sides,
in the output of the commands and on the wire.
`;

/**
 * The text of docs/errors.md: one table per group, by code. `previous`, the text so far, is the ledger of codes ever given:
 * a code that left the registry stays listed, and giving it to another error throws a `TypeError`.
 */
export function renderErrorDocs(errors: Readonly<Record<string, ErrorEntry>>, previous = ""): string {
  const entries = Object.entries(errors).sort(([, a], [, b]) => a.code < b.code ? -1 : 1);
  const sections = Object.entries(GROUPS).map(([digit, title]) => {
    const rows = entries.filter(([, { code }]) => code[1] === digit).map(activeRow);
    return table(`E${digit}: ${title}`, ["Code", "Name", "What happened", "What to do"], rows);
  });
  const retired = retiredRows(new Map(entries.map(([name, { code }]) => [code, name])), previous);
  if (retired.length > 0) sections.push(table("No longer used", ["Code", "Name", "What it meant"], retired));
  return [INTRODUCTION, ...sections].join("\n");
}

function activeRow([name, { code, title, fix }]: [string, ErrorEntry]): string {
  return `| ${code} | \`${name}\` | ${cell(title)} | ${cell(fix)} |`;
}

function retiredRows(names: ReadonlyMap<string, string>, previous: string): string[] {
  const rows: string[] = [];
  for (
    const [, code = "", name = "", title = ""] of previous.matchAll(/^\| (E\d+) \| `(\w+)` \| ((?:[^|\\]|\\.)*) \|/gm)
  ) {
    const current = names.get(code);
    if (current === undefined) rows.push(`| ${code} | \`${name}\` | ${title} |`);
    else if (current !== name) throw new TypeError(`Cannot give ${code} to ${current}: it was ${name}`);
  }
  return rows;
}

function table(title: string, columns: readonly string[], rows: readonly string[]): string {
  return [`## ${title}`, "", `| ${columns.join(" | ")} |`, `|${"---|".repeat(columns.length)}`, ...rows, ""].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

async function main(args: readonly string[]): Promise<number> {
  const file = fileURLToPath(new URL("../docs/errors.md", import.meta.url));
  const previous = await Deno.readTextFile(file);
  const text = renderErrorDocs(ERRORS, previous);
  if (!args.includes("--check")) await Deno.writeTextFile(file, text);
  else if (previous !== text) {
    console.error("docs/errors.md is not up to date: run `deno task errors`");
    return 1;
  }
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
