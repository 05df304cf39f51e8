import { z } from "zod";
import { isFieldValue, isToken } from "./http/field.ts";

/** Users, header lines and the like of one rule: enough for people, and one rule never fills a control message. */
const MAX_ENTRIES = 64;

const fieldName = z.string().min(1).max(256).refine(isToken, "it is not a header name");
const fieldValue = z.string().max(4096).refine(isFieldValue, "it is not a header value");
/** An absolute path prefix, without query; `/` alone would be no prefix. */
const pathPrefix = z.string().max(1024).regex(/^(\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+$/, "it is not a path such as /app");

const fieldEditsSchema = z.object({
  /** Replaces every field of that name. */
  set: z.array(z.tuple([fieldName, fieldValue])).max(MAX_ENTRIES).optional(),
  remove: z.array(fieldName).max(MAX_ENTRIES).optional(),
});

/** What is done to the requests and answers of an HTTP rule, where plaintext first appears (model: SP-42). */
export const httpOptionsSchema = z.object({
  /** Who may come in, with the hash of each password (`$scrypt$...`); nobody without one. An empty list lets nobody in. */
  basicAuth: z.array(z.object({ user: z.string().min(1).max(128), hash: z.string().min(1).max(512) })).max(MAX_ENTRIES)
    .optional(),
  /** Every request is answered by a redirect to this URL. */
  redirect: z.object({
    url: z.string().max(2048),
    status: z.literal([301, 302, 307, 308]),
    /** Whether the visitor's path and query are appended. */
    keepPath: z.boolean().optional(),
  }).optional(),
  /** Taken off the front of the path; a path without it is answered with 404. */
  stripPrefix: pathPrefix.optional(),
  /** Put in front of the path, after `stripPrefix`. */
  addPrefix: pathPrefix.optional(),
  requestFields: fieldEditsSchema.optional(),
  responseFields: fieldEditsSchema.optional(),
  /** Larger request bodies are refused with 413. */
  maxBodyBytes: z.int().min(0).optional(),
});

export type HttpOptions = z.infer<typeof httpOptionsSchema>;
export type FieldEdits = z.infer<typeof fieldEditsSchema>;
