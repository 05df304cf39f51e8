import type { FetchHandler } from "./options.ts";

/** What a tunnel without rules shows at its assigned hostname: it works, and what to do next. */
export function defaultPage(hostname: string): FetchHandler {
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${hostname}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 12vh auto; padding: 0 1rem; color: #222; background: #fafafa }
code { background: #eee; padding: .1em .4em; border-radius: 4px }
</style>
</head>
<body>
<h1>The tunnel works</h1>
<p><strong>${hostname}</strong> reaches this client, which has no rules yet. Publish something:</p>
<p><code>pktriot route http add --domain ${hostname} --destination 127.0.0.1 --http 8080</code></p>
<p><code>pktriot route http add --domain ${hostname} --webroot ./public</code></p>
</body>
</html>
`;
  return (request) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("Method not allowed\n", { status: 405, headers: { allow: "GET, HEAD" } });
    }
    return new Response(body, {
      headers: {
        "content-type": "text/html; charset=utf-8",
        "content-length": String(new TextEncoder().encode(body).length),
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
      },
    });
  };
}
