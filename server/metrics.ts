import { type ErrorName, ERRORS } from "../protocol/errors.ts";

/** Numbers that the hot paths add to; plain fields, read only when somebody asks. */
export class Metrics {
  /** Visitor connections taken, by edge. */
  readonly visitors: { http: number; tls: number; tcp: number } = { http: 0, tls: 0, tcp: 0 };
  /** Requests to the proxies of the mesh whose destination was read, by what was spoken. */
  readonly proxied: { socks: number; connect: number } = { socks: 0, connect: 0 };
  /** HTTP requests forwarded. */
  requests = 0;
  /** Bytes from visitors (`up`) and to visitors (`down`). */
  readonly bytes: { up: number; down: number } = { up: 0, down: 0 };
  /** Wrong credentials. */
  authFailures = 0;
  /** What was refused or cut, by code. */
  readonly refusals: Map<string, number> = new Map();

  /** Counts something that ended with a code. */
  countRefusal(kind: ErrorName): void {
    const { code } = ERRORS[kind];
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
  }
}
