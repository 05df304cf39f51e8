import { type TempDir, tempDir } from "./machine.ts";
import { spawn, type Spawned } from "./programs.ts";
import { freePort } from "./tcp_target.ts";

/** A DNS server on loopback. */
export interface DnsServer extends AsyncDisposable {
  /** `127.0.0.1:port`; nobody answers there before the first `set`. */
  readonly address: string;
  /** Starts it anew with these lines of configuration: `txt-record=name,text`, `host-record=name,address`. */
  set(...lines: string[]): Promise<void>;
}

/** A DNS server (dnsmasq) that knows nothing but what it is told, and asks nobody. */
export async function dnsServer(): Promise<DnsServer> {
  const folder: TempDir = await tempDir();
  const port = await freePort();
  let running: Spawned | undefined;
  return {
    address: `127.0.0.1:${port}`,
    async set(...lines) {
      await running?.[Symbol.asyncDispose]();
      const common = [`port=${port}`, "listen-address=127.0.0.1", "bind-interfaces", "no-resolv", "no-hosts"];
      const config = await folder.write("dnsmasq.conf", [...common, "local=/org/", ...lines, ""].join("\n"));
      running = spawn("dnsmasq", ["--no-daemon", "--log-facility=-", `--conf-file=${config}`]);
      await running.printed(/started/);
    },
    async [Symbol.asyncDispose]() {
      await running?.[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}
