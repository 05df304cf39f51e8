import { z } from "zod";
import { destinationSchema } from "./destination.ts";
import { ProtocolError } from "./errors.ts";

const failure = { code: z.string().max(16), message: z.string().max(1024) };

const openSchema = z.object({
  kind: z.literal("open"),
  /** Id of the rule whose target is wanted. */
  rule: z.string().min(1).max(270),
  /** Revision of that rule at the server: an edit ends the streams that were attached before it. */
  revision: z.int().min(0),
  /** `tls`: the visitor's TLS, untouched; `acme`: requests for challenges of a certificate authority. */
  protocol: z.enum(["http", "tcp", "tls", "acme"]),
  visitor: z.object({ address: z.string().max(64), port: z.int().min(0).max(65_535) }),
  /** Who comes through the mesh, in place of a visitor from outside. */
  source: z.object({ tunnel: z.string().max(128), owner: z.string().max(128) }).optional(),
  tls: z.object({ name: z.string().max(253), version: z.string().max(16) }).optional(),
});

/** The first frame of a stream that a client opens into the mesh. */
const connectSchema = z.object({ kind: z.literal("connect"), destination: destinationSchema });

const streamMessageSchema = z.discriminatedUnion("kind", [
  openSchema,
  connectSchema,
  z.object({ kind: z.literal("ok") }),
  z.object({ kind: z.literal("error"), ...failure }),
  z.object({ kind: z.literal("fin"), written: z.int().min(0) }),
  z.object({ kind: z.literal("rst"), ...failure }),
]);

/** The text frames of a data channel. */
export type StreamMessage = z.infer<typeof streamMessageSchema>;
/** The first frame of a stream: where it goes and for whom. */
export type StreamOpen = z.infer<typeof openSchema>;

/** The same from a client: where it wants to go. */
export type StreamConnect = z.infer<typeof connectSchema>;

/**
 * Reads one stream message.
 * @throws {ProtocolError} when it is not one; unlike on a control channel nothing is optional here.
 */
export function parseStreamMessage(json: string): StreamMessage {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new ProtocolError("Cannot read a stream message: it is not JSON", { cause });
  }
  const parsed = streamMessageSchema.safeParse(value);
  if (!parsed.success) throw new ProtocolError("Cannot read a stream message: it does not fit its schema");
  return parsed.data;
}
