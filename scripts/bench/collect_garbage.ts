// Loaded before a program whose memory is measured: what counts is what it keeps, not what it has not yet thrown away.
Deno.addSignalListener("SIGUSR2", () => (globalThis as unknown as { gc: () => void }).gc());
