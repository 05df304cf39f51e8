import { Buffer } from "node:buffer";
import type { Fields } from "./field.ts";

/** User and password of a request (RFC 7617), as one value: whatever looks at who somebody is looks at this (security R1). */
export interface BasicCredential {
  readonly user: string;
  readonly password: string;
}

/** token68 as base64 writes it. */
const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i;
const CONTROL = /[\x00-\x1f\x7f]/;
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The credential in `Authorization` (or another field), as UTF-8; `undefined` without one, with several, and with one that is not well-formed. */
export function basicCredential(fields: Fields, field: string = "authorization"): BasicCredential | undefined {
  const [value, another] = fields.getAll(field);
  if (value === undefined || another !== undefined) return undefined;
  const encoded = BASIC.exec(value)?.[1];
  const text = encoded === undefined ? undefined : utf8(Buffer.from(encoded, "base64"));
  const colon = text?.indexOf(":") ?? -1;
  if (text === undefined || colon < 0 || CONTROL.test(text)) return undefined;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    // The same letters may come composed or not (RFC 7617 2.1).
    return DECODER.decode(bytes).normalize("NFC");
  } catch {
    return undefined; // Not UTF-8, which is what we ask for.
  }
}
