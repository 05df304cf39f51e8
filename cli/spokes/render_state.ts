import type { EnrolmentToken } from "../../server/state/enrolment_tokens.ts";
import type { Sighting } from "../../server/state/sightings.ts";
import type { Tunnel } from "../../server/state/tunnels.ts";
import { renderTable } from "../table.ts";
import { timeText } from "../time_text.ts";

/** The table of `spokes token ls`. */
export function renderTokens(tokens: readonly EnrolmentToken[], now: number): string[] {
  return renderTable(
    ["Id", "Owner", "Tags", "Uses", "Expires", "State"],
    tokens.map((token) => [
      token.id,
      token.owner,
      token.tags.join(" ") || "--",
      `${token.used} of ${token.uses ?? "unlimited"}`,
      token.expiresAt === null ? "never" : timeText(token.expiresAt),
      tokenState(token, now),
    ]),
  );
}

/** Whether a token can still make a tunnel. */
export function tokenState({ expiresAt, uses, used }: EnrolmentToken, now: number): "valid" | "expired" | "used up" {
  if (expiresAt !== null && expiresAt <= now) return "expired";
  return uses !== null && used >= uses ? "used up" : "valid";
}

/** A tunnel and when it was last seen. */
export interface TunnelRow {
  tunnel: Tunnel;
  sighting: Sighting | undefined;
}

/** The table of `spokes tunnel ls`. */
export function renderTunnels(rows: readonly TunnelRow[]): string[] {
  return renderTable(
    ["Id", "Name", "Hostname", "Owner", "Tags", "Last seen", "From"],
    rows.map(({ tunnel, sighting }) => [
      tunnel.id,
      tunnel.parent === undefined ? tunnel.name : `${tunnel.name} (one-shot)`,
      tunnel.hostname,
      tunnel.owner,
      tunnel.tags.join(" ") || "--",
      sighting === undefined ? "never" : timeText(sighting.at),
      sighting?.from ?? "--",
    ]),
  );
}

/** A token for `--json`: times as ISO 8601. */
export function tokenFacts(token: EnrolmentToken, now: number): Record<string, unknown> {
  return {
    ...token,
    createdAt: isoTime(token.createdAt),
    expiresAt: token.expiresAt === null ? null : isoTime(token.expiresAt),
    state: tokenState(token, now),
  };
}

/** Milliseconds since the epoch as ISO 8601. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
