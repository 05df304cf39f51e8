// Loaded before a program whose memory is measured: what counts is what it keeps, not what it has not yet thrown away. The collector is
// asked for all it can do, so that half-empty pages go back to the system as well: left alone for a minute it does that by itself.
const { gc } = globalThis as unknown as { gc: (options: Record<string, string>) => void };
Deno.addSignalListener("SIGUSR2", () => gc({ type: "major", execution: "sync", flavor: "last-resort" }));
