import { Fields } from "../../../protocol/http/field.ts";
import type { HttpVersion } from "../../../protocol/http/head.ts";
import { latin1Bytes, responseHeadText } from "../../../protocol/http/serialise.ts";

/** An answer that the edge gives by itself. */
export interface EdgeAnswer {
  readonly status: number;
  readonly reason: string;
  /** Beside Content-Length and Connection, which are set from the body and the connection. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/** To what an answer of the edge answers. */
export interface EdgeAnswerOptions {
  readonly method: string;
  readonly version: HttpVersion;
  readonly keepAlive: boolean;
}

const ENCODER = new TextEncoder();

/** Head and body of an answer that the edge gives by itself, ready to be written at once. */
export function edgeAnswerBytes(answer: EdgeAnswer, { method, version, keepAlive }: EdgeAnswerOptions): Uint8Array {
  const body = ENCODER.encode(answer.body);
  const fields = new Fields(answer.fields.map(([name, value]) => ({ name, value })));
  fields.append("Date", new Date().toUTCString());
  fields.append("Content-Length", `${body.length}`);
  if (!keepAlive) fields.append("Connection", "close");
  else if (version === "1.0") fields.append("Connection", "keep-alive");
  const head = latin1Bytes(responseHeadText({ status: answer.status, reason: answer.reason, fields }));
  if (method === "HEAD") return head;
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
}
