import type { LogRecord } from "@logtape/logtape";
import { escapeText } from "./escape_text.ts";
import { MASK, redact } from "./redact.ts";

/** Longest value of one field: enough for any reason, too little to fill a disk with. */
const MAX_FIELD_BYTES = 1024;
/** Fields whose value is a secret whatever it looks like. */
const SECRET_FIELD = /token|secret|password|authori[sz]ation|cookie|invite|private/i;
/** A value that needs no quotes in `key=value`. */
const BARE = /^[\w./:@+%,*[\]-]+$/;

/** `2026-01-02T03:04:05.678Z INFO tunnel connected hostname=a.example.com` */
export function formatText(record: LogRecord): string {
  const fields = fieldsOf(record).map(([key, value]) => ` ${key}=${quote(String(value))}`);
  return `${timeOf(record)} ${levelOf(record).toUpperCase()} ${eventOf(record)}${fields.join("")}`;
}

/** One JSON object: `time`, `level`, `event`, then the fields. */
export function formatJson(record: LogRecord): string {
  return JSON.stringify({
    // First and last: their place for readers, their value against a field of the same name.
    ...{ time: "", level: "", event: "" },
    ...Object.fromEntries(fieldsOf(record)),
    ...{ time: timeOf(record), level: levelOf(record), event: eventOf(record) },
  });
}

function timeOf(record: LogRecord): string {
  return new Date(record.timestamp).toISOString();
}

function levelOf(record: LogRecord): string {
  return record.level === "warning" ? "warn" : record.level;
}

function eventOf(record: LogRecord): string {
  const { rawMessage } = record;
  return safe(typeof rawMessage === "string" ? rawMessage : rawMessage.join(""));
}

function fieldsOf(record: LogRecord): [string, string | number | boolean][] {
  const fields: [string, string | number | boolean][] = [];
  for (const [key, value] of Object.entries(record.properties)) {
    if (value === undefined) continue;
    const plain = typeof value === "number" || typeof value === "boolean";
    const masked = typeof value === "string" && SECRET_FIELD.test(key);
    fields.push([safe(key), plain ? value : masked ? MASK : safe(String(value))]);
  }
  return fields;
}

/** Without control characters and secrets, at most {@link MAX_FIELD_BYTES} long. */
function safe(text: string): string {
  // Cut first: the work must not grow with what a peer sends. Three times, as a secret that is cut in half must still look like one.
  const clean = redact(escapeText(text.slice(0, 3 * MAX_FIELD_BYTES)));
  const bytes = new TextEncoder().encode(clean);
  if (bytes.length <= MAX_FIELD_BYTES) return clean;
  // A character cut in half at the end is dropped by the stream option.
  return new TextDecoder().decode(bytes.subarray(0, MAX_FIELD_BYTES - 3), { stream: true }) + "…";
}

function quote(text: string): string {
  return BARE.test(text) ? text : JSON.stringify(text).replaceAll("\\\\", "\\");
}
