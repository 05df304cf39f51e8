import { CodedError } from "../../../protocol/errors.ts";

/** Which prefixes are taken away and added. */
export interface PathPrefixes {
  readonly stripPrefix: string | undefined;
  readonly addPrefix: string | undefined;
}

/**
 * A segment `.` or `..`, also encoded, also as programs see it that take `\` for `/`, cut segments at `;` or at NUL, or drop blanks behind
 * the dots.
 */
const DOT_SEGMENT = /(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:%0[1-9a-f]|%1[0-9a-f]|%20)*(?:$|[/\\;]|%2f|%5c|%3b|%00)/i;

/**
 * A function from a request's target to the one that is sent on. The path is compared byte by byte and never decoded: `/app` is the front
 * of `/app` and `/app/x`, not of `/apple` or `/%61pp`.
 * @throws {CodedError} RULE_INVALID; the function UNKNOWN_PATH
 */
export function pathRewriter({ stripPrefix = "", addPrefix = "" }: PathPrefixes): (target: string) => string {
  for (const prefix of [stripPrefix, addPrefix]) {
    if (DOT_SEGMENT.test(prefix)) throw new CodedError("RULE_INVALID", `The prefix "${prefix}" has a segment of dots`);
  }
  return (target) => {
    // `*` and the target of CONNECT are in no path, so also not in the part of it that the rule is for.
    if (!target.startsWith("/")) throw new CodedError("UNKNOWN_PATH");
    const query = target.indexOf("?");
    const path = query < 0 ? target : target.slice(0, query);
    const rest = stripped(path, stripPrefix);
    // Elsewhere dots are the target's business; here they could lead out of the folder that the rule is for.
    if (addPrefix !== "" && DOT_SEGMENT.test(rest)) throw new CodedError("UNKNOWN_PATH");
    return addPrefix + rest + target.slice(path.length);
  };
}

function stripped(path: string, prefix: string): string {
  if (prefix === "") return path;
  if (path === prefix) return "/";
  if (!path.startsWith(`${prefix}/`)) throw new CodedError("UNKNOWN_PATH");
  return path.slice(prefix.length);
}
