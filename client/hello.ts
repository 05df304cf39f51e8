import type { Hello, Welcome } from "../protocol/message.ts";
import { VERSION } from "../protocol/version.ts";

/** What differs from one hello to the next. */
export interface HelloParts {
  /** Random, one for each client in a process. */
  readonly instance: string;
  readonly role: Hello["role"];
  readonly takeover: boolean;
  /** The session that may be resumed. */
  readonly resume: Pick<Welcome, "session" | "secret"> | null;
}

/** Says who we are. */
export function helloOf({ instance, role, takeover, resume }: HelloParts): Hello {
  return {
    ...{ kind: "hello", protocol: 1, instance, role, version: VERSION },
    ...{ os: Deno.build.os, arch: Deno.build.arch, host: Deno.hostname(), features: [] },
    ...(takeover ? { takeover } : {}),
    ...(resume === null ? {} : { resume: { session: resume.session, secret: resume.secret } }),
  };
}
