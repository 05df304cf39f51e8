import { z } from "zod";
import { DEFAULT_SERVER_LIMITS, type ServerLimits } from "../../server/limits.ts";
import { parseDuration } from "../parse_duration.ts";
import { snakeCase } from "../snake_case.ts";

/** One limit as a key of `spokes.yaml`: times lose their unit there and are written as `10s`. */
export interface LimitKey {
  limit: keyof ServerLimits;
  key: string;
  isTime: boolean;
}

/** Every limit of the server. */
export const LIMIT_KEYS: readonly LimitKey[] = (Object.keys(DEFAULT_SERVER_LIMITS) as (keyof ServerLimits)[])
  .map((limit) => {
    const isTime = limit.endsWith("Ms");
    return { limit, isTime, key: snakeCase(isTime ? limit.slice(0, -2) : limit) };
  });

/** What is said of a value that is no time. */
export const NOT_A_TIME = "it is not a time such as 500ms, 30s, 10m or 24h";

const time = z.string({ error: NOT_A_TIME }).transform((text, context): number => {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) {
    context.addIssue({ code: "custom", message: NOT_A_TIME });
  }
  return ms ?? 0;
});
const count = z.int().min(1).max(10_000_000);

/** `limits:` of `spokes.yaml`, as the server takes it. */
export const limitsSchema = z.strictObject(
  Object.fromEntries(LIMIT_KEYS.map(({ key, isTime }) => [key, (isTime ? time : count).optional()])),
).transform((given): Partial<ServerLimits> =>
  Object.fromEntries(
    LIMIT_KEYS.filter(({ key }) => given[key] !== undefined).map(({ limit, key }) => [limit, given[key]]),
  )
);
