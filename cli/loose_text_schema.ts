import { z } from "zod";

/** Text on which the security of one rule or door depends: whatever stands there, it is for that one to stay closed, not for all to stop. */
export const looseText: z.ZodType<string> = z.unknown().transform(String);
