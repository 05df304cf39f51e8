import { join } from "node:path";
import { ChildProcess } from "../child_process.ts";
import { freePort } from "../free_port.ts";
import { whenListening } from "./when_listening.ts";

/** The body of every answer, as short as that of an API. */
const HELLO = "hello world, this is a local service\\n";

/** An nginx with one worker, as the fixed side is one core. */
export interface Nginx {
  readonly port: number;
  /** The worker: it does all the work. */
  readonly pid: number;
}

/** Starts one that answers plain HTTP, or HTTPS with `cert.pem` and `key.pem` of a folder. */
export async function startNginx(
  stack: AsyncDisposableStack,
  nginx: string,
  options: { certificates?: string } = {},
): Promise<Nginx> {
  const folder = await Deno.makeTempDir({ prefix: "spokes-bench-nginx-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const port = freePort();
  const config = join(folder, "nginx.conf");
  await Deno.writeTextFile(config, nginxConfig({ folder, port, ...options }));
  const child = stack.use(
    ChildProcess.start(nginx, { args: ["-p", folder, "-e", join(folder, "error.log"), "-c", config] }),
  );
  await whenListening(port, child);
  const worker = await Deno.readTextFile(`/proc/${child.pid}/task/${child.pid}/children`).catch(() => "");
  return { port, pid: Number(worker) };
}

/** Nothing is written, no connection is closed in the middle of a run, and no TLS session is taken up again. */
function nginxConfig({ folder, port, certificates }: { folder: string; port: number; certificates?: string }): string {
  const tls = `
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;
    ssl_certificate ${certificates}/cert.pem;
    ssl_certificate_key ${certificates}/key.pem;`;
  return `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 3600;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port}${certificates === undefined ? "" : " ssl"};${certificates === undefined ? "" : tls}
    location / { default_type text/plain; return 200 "${HELLO}"; }
  }
}
`;
}
