import { CodedError } from "../../protocol/errors.ts";

/** A stored object, or `STATE_UNAVAILABLE`: records come back from disk, perhaps written by another version. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw unreadable("it is not an object");
  return value as Record<string, unknown>;
}

/** Throws `STATE_UNAVAILABLE` unless every named field has the JavaScript type beside it. */
export function checkFields(
  record: Readonly<Record<string, unknown>>,
  fields: Readonly<Record<string, "string" | "number" | "object">>,
): void {
  for (const [field, type] of Object.entries(fields)) {
    if (typeof record[field] !== type || record[field] === null) throw unreadable(`"${field}" is not a ${type}`);
  }
}

/** The error for a stored record that cannot be understood. */
export function unreadable(reason: string): CodedError {
  return new CodedError("STATE_UNAVAILABLE", `Cannot read a record of the state: ${reason}`);
}
