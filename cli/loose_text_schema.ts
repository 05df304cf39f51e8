import { z } from "zod";

/** Text on which the security of one rule depends: whatever stands there, it is for that rule to stay closed, not for all to stop. */
export const looseText: z.ZodType<string> = z.unknown().transform(String);
