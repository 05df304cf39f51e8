import { z } from "zod";
import { MAX_NETWORKS_PER_RULE } from "../../protocol/limits.ts";
import { listOf } from "../list_schema.ts";
import { looseText } from "../loose_text_schema.ts";

const networks = listOf(looseText, MAX_NETWORKS_PER_RULE);

/** Who may come: the most specific network decides, on equal ones drop wins; with any `allow`, all else is dropped. */
export const firewallSchema = z.strictObject({ allow: networks, drop: networks }).nullish()
  .transform((firewall) => firewall ?? undefined);

/** The firewall of a rule. */
export type FirewallEntry = NonNullable<z.infer<typeof firewallSchema>>;
