import { z } from "zod";
import { type HostPort, parseHostPort } from "../parse_listen.ts";

const NOT_A_PLACE = "it is not host:port or :port";

/** A place to listen on, `host:port` or `:port`. */
export const listenSchema = z.string({ error: NOT_A_PLACE }).transform((text, context): HostPort => {
  const place = parseHostPort(text);
  if (place === undefined) context.addIssue({ code: "custom", message: NOT_A_PLACE });
  return place ?? { hostname: "", port: 0 };
});
