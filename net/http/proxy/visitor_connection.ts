import type { Duplex } from "../../duplex.ts";
import { forwardedFields, visitorAddress, visitorProto } from "../forwarded.ts";
import type { HttpReader } from "../http_reader.ts";
import type { Fields } from "../../../protocol/http/field.ts";
import type { RequestHead } from "../../../protocol/http/head.ts";
import type { HttpVisitorContext, UpstreamStream, VisitorLife } from "./http_context.ts";

/** What all exchanges on one connection share. */
export interface VisitorConnection extends VisitorLife {
  readonly visitor: Duplex;
  readonly reader: HttpReader;
  readonly context: HttpVisitorContext;
  /** The connection's other end in canonical form, and whether it is a proxy that is believed. */
  readonly peer: string;
  readonly trusted: boolean;
  /** The stream that belongs to this visitor alone, since its target authenticated the connection. */
  pinned: { readonly key: unknown; readonly stream: UpstreamStream } | undefined;
  /** The fields for the target, which are the same for all requests to one host. */
  forwarded: { readonly key: string; readonly fields: Fields } | undefined;
}

/** Whose request it is. */
export interface Asker {
  readonly address: string;
  readonly proto: "http" | "https";
}

/** Who sent these fields; looks into those of forwarding only behind a trusted proxy. */
export function whoAsks({ peer, trusted, context }: VisitorConnection, fields: Fields): Asker {
  if (!trusted) return { address: peer, proto: context.proto };
  const facts = { peer, fields, trustedProxies: (address: string) => context.trustedProxies(address) };
  return { address: visitorAddress(facts), proto: visitorProto(facts, context.proto) };
}

/** The fields that tell the target who asked, and for which host, unless that is another one than the request says. */
export function forwardedFor(
  { address, proto }: Asker,
  connection: VisitorConnection,
  { head, host = head.fields.get("host") ?? head.host ?? "" }: { head: RequestHead; host?: string | undefined },
): Fields {
  const key = `${address} ${proto} ${host}`;
  if (connection.forwarded?.key !== key) {
    connection.forwarded = { key, fields: forwardedFields({ address, proto, host }) };
  }
  return connection.forwarded.fields;
}
