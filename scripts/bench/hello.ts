// The web service of the bench: what most people would write.
const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen() {} },
  () => new Response("hello world, this is a local service\n"),
);
console.log(`port ${server.addr.port}`);
