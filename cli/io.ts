/** The world as a command sees it; tests give their own. */
export interface Io {
  /** Lines for standard output: the answer of the command. */
  print(lines: string | readonly string[]): void;
  /** Lines for standard error: whatever is not the answer. */
  report(lines: string | readonly string[]): void;
  /** All of standard input as text, at most `maxBytes`. */
  readInput(maxBytes: number): Promise<string>;
  env(name: string): string | undefined;
  /** Whether a person sits at the other end of input and output and may be asked. */
  readonly interactive: boolean;
}
