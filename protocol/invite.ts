import { CodedError } from "./errors.ts";

/** What a new client needs to know: one line that the operator hands over. */
export interface Invite {
  /** `host:port`, an IPv6 address in brackets. */
  readonly server: string;
  /** The enrolment token. */
  readonly token: string;
  /** SHA-256 of the server's CA certificate (DER), base64url; without it the server has a public certificate. */
  readonly pin?: string;
  /** Name to ask for in TLS, when it is not the host of `server`. */
  readonly sni?: string;
}

const VERSION = "spokes1";
/** Far more than a line with a token needs; bounds the work on what somebody pasted. */
const MAX_INVITE_LENGTH = 4_096;
/** Six base64url characters hold the 32 bits of the checksum. */
const CHECKSUM_LENGTH = 6;

const SERVER = /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):([1-9][0-9]{0,4})$/;
const TOKEN = /^[\x21-\x7e]{8,512}$/;
const PIN = /^[A-Za-z0-9_-]{43}$/;
const SNI = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/**
 * Writes an invite as `spokes1.<data>.<checksum>`: letters, digits, `-`, `_` and two dots, so that no shell or chat changes it.
 * @throws {CodedError} INVITE_INVALID for fields that `parseInvite` would refuse
 */
export function encodeInvite(invite: Invite): string {
  checkInvite(invite);
  const { server, token, pin, sni } = invite;
  const data = toBase64Url(new TextEncoder().encode(JSON.stringify({ server, token, pin, sni })));
  return `${VERSION}.${data}.${checksum(data)}`;
}

/**
 * Reads an invite; white space and quotes around or line breaks within it, as mail and terminals add them, do not matter.
 * @throws {CodedError} INVITE_INVALID with the reason
 */
export function parseInvite(text: string): Invite {
  if (text.length > MAX_INVITE_LENGTH) throw invalid("it is too long to be one");
  const line = text.replaceAll(/[\s"'`]+/g, "");
  const [version = "", data = "", sum = "", ...rest] = line.split(".");
  if (version !== VERSION) throw wrongStart(version);
  if (data === "" || sum.length < CHECKSUM_LENGTH) throw invalid("its end is missing");
  if (rest.length > 0 || sum.length > CHECKSUM_LENGTH) {
    throw invalid("there is something behind its end");
  }
  if (checksum(data) !== sum) {
    throw invalid("some of its characters differ from what the server printed");
  }
  return readFields(data);
}

function wrongStart(version: string): CodedError {
  if (/^spokes\d+$/.test(version)) {
    return invalid(`it is of another version (${version}); use a pktriot of the server's version`);
  }
  if (version.startsWith("spk_")) {
    return invalid("it is a bare token, which --token takes");
  }
  return invalid(`it does not begin with ${VERSION}`);
}

function readFields(data: string): Invite {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(fromBase64Url(data)));
  } catch (error) {
    throw invalid("its content cannot be read", error);
  }
  if (typeof value !== "object" || value === null) throw invalid("its content cannot be read");
  const { server, token, pin, sni } = value as Record<string, unknown>;
  return checkInvite({ server, token, ...(pin === undefined ? {} : { pin }), ...(sni === undefined ? {} : { sni }) });
}

function checkInvite(fields: { [Field in keyof Invite]: unknown }): Invite {
  const { server, token, pin, sni } = fields;
  const port = typeof server === "string" ? SERVER.exec(server)?.[1] : undefined;
  if (port === undefined || Number(port) > 65_535) throw invalid("its server is not host:port");
  if (typeof token !== "string" || !TOKEN.test(token)) throw invalid("its token is not one");
  if (pin !== undefined && !(typeof pin === "string" && PIN.test(pin))) {
    throw invalid("its pin is not a SHA-256 fingerprint");
  }
  if (sni !== undefined && !(typeof sni === "string" && SNI.test(sni))) {
    throw invalid("its TLS name is not a host name");
  }
  return fields as Invite;
}

function invalid(reason: string, cause?: unknown): CodedError {
  return new CodedError("INVITE_INVALID", `The invite is not valid: ${reason}`, { cause });
}

/** CRC-32 (ISO-HDLC) of the text: it finds slips of the hand, and protects against nobody. */
function checksum(text: string): string {
  let crc = 0xffff_ffff;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb8_8320;
  }
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, ~crc >>> 0);
  return toBase64Url(bytes);
}

function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}
