/** Ports `from` to `to`, both included. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

const MAX_PORT = 65_535;

/** Reads `5432` or `5000-5999`; `undefined` when it is neither. */
export function parsePorts(text: string): PortRange | undefined {
  const [, first, last] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(text) ?? [];
  if (first === undefined) return undefined;
  const from = Number(first);
  const to = Number(last ?? first);
  return from >= 1 && from <= to && to <= MAX_PORT ? { from, to } : undefined;
}

/** Whether a port lies in the range. */
export function hasPort({ from, to }: PortRange, port: number): boolean {
  return port >= from && port <= to;
}
