import type { DomainPointing, DomainState } from "../../protocol/request.ts";
import { escapeText } from "../escape_text.ts";
import { renderTable } from "../table.ts";
import { timeText } from "../time_text.ts";

/** What `domain add` says: the records to set, and what happens then. */
export function renderAddedDomain(added: DomainState & { pointing: DomainPointing }): string[] {
  const { domain, txt } = added;
  const records = [
    ...(txt === undefined ? [] : [["TXT", txt.name, txt.value]]),
    ...pointingRows(domain, added.pointing),
  ];
  const head = txt === undefined
    ? [renderVerifiedDomain(added), "To bring its visitors here, set in the DNS:"]
    : [escapeText(`To prove that ${domain} is yours, and to bring its visitors here, set in the DNS:`)];
  const tail = txt === undefined ? [] : [
    "The server looks for the TXT record every minute, later every 10 minutes, for 7 days; it may go when it was found.",
    escapeText(`\`pktriot domain verify ${domain} --wait\` waits for it.`),
  ];
  return [...head, ...renderTable(["Type", "Name", "Value"], records), ...tail];
}

/** The line about a verified domain. */
export function renderVerifiedDomain({ domain, coveredBy }: DomainState): string {
  return escapeText(
    coveredBy === undefined
      ? `${domain} is verified`
      : `${domain} needs no proof: it is below ${coveredBy}, which is verified`,
  );
}

/** The table of `domain ls`. */
export function renderDomains(domains: readonly DomainState[]): string[] {
  return renderTable(
    ["Domain", "Status", "TXT name", "TXT value", "Since", "Last look", "Reason"],
    domains.map(({ domain, status, txt, since, checked, reason }) => [
      ...[domain, status, txt?.name ?? "--", txt?.value ?? "--"],
      ...[timeOr(since), timeOr(checked), reason ?? "--"],
    ]),
  );
}

function timeOr(time: string | undefined): string {
  return time === undefined ? "--" : timeText(time);
}

function pointingRows(domain: string, pointing: DomainPointing): string[][] {
  if (pointing.kind === "cname") return [["CNAME", domain, pointing.hostname]];
  const { addresses, hostname } = pointing;
  if (addresses.length === 0) return [["A, AAAA", domain, `the addresses of ${hostname}`]];
  return addresses.map((address) => [address.includes(":") ? "AAAA" : "A", domain, address]);
}
