import { z } from "zod";

/** A list that may be left out, or left empty as a hand does it (`http:` with nothing below). */
export function listOf<T extends z.ZodType>(item: T, max: number): z.ZodType<z.output<T>[]> {
  return z.array(item).max(max).nullish().transform((list) => list ?? []);
}
