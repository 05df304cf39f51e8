import { parseTarget } from "../../client/target.ts";
import type { HttpEntry } from "./config.ts";

/** A target in the columns of the rule tables. */
export interface TargetColumns {
  destination: string;
  /** 0 when the destination has none. */
  port: number;
  documentRoot?: string;
}

/** What the tables show of a target. */
export function targetColumns(text: string): TargetColumns {
  const target = parseTarget(text);
  switch (target.kind) {
    case "tcp":
      return { destination: target.host, port: target.port };
    case "https":
      return { destination: `https://${target.host}`, port: target.port };
    case "unix":
      return { destination: `unix:${target.path}`, port: 0 };
    case "folder":
      return { destination: "", port: 0, documentRoot: target.path };
    default:
      return target satisfies never;
  }
}

/** Where a rule leads, for one line of text; where TLS is passed on, that comes first. */
export function leadsTo(
  { target, redirectTo, redirect, tls }: Pick<HttpEntry, "target" | "redirectTo" | "redirect" | "tls">,
): string {
  const passedOn = typeof tls === "object" && "target" in tls ? tls.target : undefined;
  if (passedOn !== undefined) {
    return target === undefined || redirect === true ? passedOn : `${passedOn}, plain HTTP -> ${target}`;
  }
  return redirectTo === undefined ? target ?? "" : redirectUrl(redirectTo);
}

/** Where `redirectTo` sends visitors. */
export function redirectUrl(redirectTo: NonNullable<HttpEntry["redirectTo"]>): string {
  return typeof redirectTo === "string" ? redirectTo : redirectTo.url;
}
