/** Ports `from` to `to`, both included. */
export interface PortRange {
  from: number;
  to: number;
}

/** `22000-22999`, or one port; `undefined` when it is none. */
export function parsePortRange(text: string): PortRange | undefined {
  const [, first, last] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(text) ?? [];
  if (first === undefined) return undefined;
  const from = Number(first);
  const to = Number(last ?? first);
  return from >= 1 && from <= to && to <= 65_535 ? { from, to } : undefined;
}
