import { pktriotProgram } from "../pktriot/program.ts";
import { runProgram } from "../program.ts";
import { memoryIo } from "./memory_io.ts";
import { type PrivateFile, privateFile } from "./private_file.ts";

/** What a command did. */
export interface CommandResult {
  code: number;
  out: string[];
  err: string[];
}

/** A configuration of `pktriot` on disk, for commands. */
export interface PktriotConfig extends PrivateFile {
  run(args: readonly string[], options?: { env?: Record<string, string>; input?: string }): Promise<CommandResult>;
}

/** Who the client is; port 9 (discard): nothing listens there. */
export const IDENTITY = {
  version: 1,
  server: { address: "127.0.0.1:9" },
  tunnel: { id: "t1", token: "spk_tunnel_secret", hostname: "small-fire-20477.example.com", name: "laptop" },
};

/** Writes a configuration; what is an object is written as the commands write JSON. */
export async function pktriotConfig(name: string, content: unknown): Promise<PktriotConfig> {
  const text = typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`;
  const file = await privateFile(name, text);
  return {
    ...file,
    async run(args, options = {}) {
      const io = memoryIo(options);
      const code = await runProgram(pktriotProgram(io), ["--config", file.path, ...args], io);
      return { code, out: io.out, err: io.err };
    },
  };
}
