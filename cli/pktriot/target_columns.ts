import { parseTarget } from "../../client/target.ts";

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
