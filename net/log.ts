/** Values of log fields; secrets never go in (the CLI redacts what looks like one all the same). */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Where the library reports to. One event, a few fields: `log.info("tunnel connected", { tunnel, hostname })`. */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

/** A logger that says nothing: the default of the embedded API. */
export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
