import { z } from "zod";
import { isLoopback, parseAddress } from "../../net/address.ts";
import { toDestination } from "../../protocol/destination.ts";
import { checked } from "../checked_schema.ts";
import { looseText } from "../loose_text_schema.ts";
import { checkUser } from "./http_schema.ts";

/** Where doors are that do not say: nobody but this machine reaches them. */
export const LOOPBACK = "127.0.0.1";
/** A label is a few words in a table. */
const MAX_LABEL_LENGTH = 64;
/** Longest path of a unix socket: what the kernels have room for (104 bytes on macOS, 108 on Linux), with its final zero. */
const MAX_UNIX_PATH_BYTES = 103;

const port = z.int().min(1).max(65_535);
const bind = checked(z.string(), checkBind);
/** Spelled out, so that nobody lets a network in by leaving something away. */
const none = z.literal("none");

const userSchema = z.strictObject({
  user: checked(z.string(), checkUser),
  /** Made by `pktriot proxies socks listen --auth`. */
  hash: looseText,
});

/** A local port, or unix socket, that leads to one destination in the mesh. */
export const portMapSchema = z.strictObject({
  /** Of this machine. */
  port: port.optional(),
  /** Path of a unix socket, in place of a port. */
  unix: checked(z.string(), checkUnixPath).optional(),
  /** Address of this machine to listen on. */
  bind: bind.optional(),
  transport: z.literal("tcp", { error: "it is not tcp" }).default("tcp"),
  destination: checked(z.string(), checkDestinationHost),
  destinationPort: port,
  label: z.string().max(MAX_LABEL_LENGTH).optional(),
  auth: none.optional(),
}).superRefine((entry, context) => {
  if ((entry.port === undefined) === (entry.unix === undefined)) {
    return context.addIssue("either port or unix says where it listens");
  }
  if (entry.unix !== undefined && entry.bind !== undefined) {
    return context.addIssue({ code: "custom", path: ["bind"], message: "a unix socket has no address to bind" });
  }
  if (isOpenToNetwork(entry)) {
    context.addIssue({
      code: "custom",
      path: ["bind"],
      message: "other machines could use it, and a port map asks for no password: add `auth: none` if that is meant",
    });
  }
});

/** A local proxy into the mesh. */
export const proxySchema = z.strictObject({
  port,
  bind: bind.optional(),
  auth: z.union([none, userSchema], { error: "it is neither none nor {user, hash}" }).optional(),
}).superRefine((entry, context) => {
  if (isOpenToNetwork(entry)) {
    context.addIssue({
      code: "custom",
      path: ["bind"],
      message: "other machines could use it without a password: add `auth`, or `auth: none` if that is meant",
    });
  }
});

/** The local proxies, one of each kind. */
export const proxiesSchema = z.strictObject({ socks: proxySchema.optional(), http: proxySchema.optional() });

export type PortMapEntry = z.infer<typeof portMapSchema>;
export type ProxyEntry = z.infer<typeof proxySchema>;
export type ProxiesEntry = z.infer<typeof proxiesSchema>;

/** Whether other machines reach it, and nothing is said about who may. */
function isOpenToNetwork(entry: { bind?: string | undefined; auth?: unknown }): boolean {
  return entry.bind !== undefined && !isLoopback(entry.bind) && entry.auth === undefined;
}

/** @throws {RangeError} */
export function checkBind(text: string): void {
  if (parseAddress(text) === null) throw new RangeError(`"${text}" is not an address such as 127.0.0.1 or ::1`);
}

/** @throws {RangeError} */
export function checkUnixPath(path: string): void {
  if (!path.startsWith("/") || path.includes("\0")) throw new RangeError("A unix socket needs an absolute path");
  const length = new TextEncoder().encode(path).length;
  if (length > MAX_UNIX_PATH_BYTES) {
    throw new RangeError(`The path of a unix socket has at most ${MAX_UNIX_PATH_BYTES} bytes, not ${length}`);
  }
}

/** Any port will do to look at a host. @throws {CodedError} DESTINATION_INVALID */
function checkDestinationHost(host: string): void {
  toDestination(host, 1);
}
