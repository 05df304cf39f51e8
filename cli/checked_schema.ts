import type { z } from "zod";

/** A schema of text that a parser of ours accepts; what it throws becomes the reason, and the text stays as it was typed. */
export function checked(schema: z.ZodString, parse: (text: string) => unknown): z.ZodString {
  return schema.superRefine((text, context) => {
    try {
      parse(text);
    } catch (error) {
      context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
    }
  });
}
