import assert from "node:assert/strict";
import { join } from "node:path";
import { CodedError } from "../../protocol/errors.ts";
import { memoryPair } from "../memory_duplex.ts";
import { serveFetch } from "./fetch_server.ts";
import { staticHandler } from "./static_files.ts";

interface Site extends AsyncDisposable {
  readonly folder: string;
  get(path: string, init?: RequestInit): Promise<Response>;
}

async function site(): Promise<Site> {
  const base = await Deno.makeTempDir();
  const folder = join(base, "root");
  await Deno.mkdir(join(folder, "sub dir"), { recursive: true });
  await Deno.mkdir(join(folder, ".well-known"));
  await Deno.mkdir(join(base, "root-sibling"));
  await Deno.writeTextFile(join(base, "secret.txt"), "secret");
  await Deno.writeTextFile(join(base, "root-sibling", "secret.txt"), "secret");
  await Deno.writeTextFile(join(folder, "index.html"), "<p>home");
  await Deno.writeTextFile(join(folder, "sub dir", "index.html"), "<p>sub");
  await Deno.writeTextFile(join(folder, "a.txt"), "0123456789");
  await Deno.writeTextFile(join(folder, "empty.css"), "");
  await Deno.writeTextFile(join(folder, ".env"), "secret");
  await Deno.writeTextFile(join(folder, ".well-known", "x"), "known");
  await Deno.writeFile(join(folder, "big.bin"), new Uint8Array(200_000).fill(7));
  await Deno.symlink(join(base, "secret.txt"), join(folder, "out.txt"));
  await Deno.symlink(base, join(folder, "up"));
  await Deno.symlink("a.txt", join(folder, "in.txt"));
  await Deno.symlink("loop", join(folder, "loop"));
  await Deno.mkdir(join(folder, "linked"));
  await Deno.symlink(join(base, "secret.txt"), join(folder, "linked", "index.html"));
  const handler = staticHandler(folder);
  return {
    folder,
    get: async (path, init) => await handler(new Request(`http://a.example${path}`, init), { address: undefined }),
    [Symbol.asyncDispose]: () => Deno.remove(base, { recursive: true }),
  };
}

Deno.test("staticHandler() serves files, folders by their index, and types", async () => {
  await using folder = await site();
  const { get } = folder;
  for (
    const [path, type, body] of [
      ["/", "text/html; charset=utf-8", "<p>home"],
      ["/index.html", "text/html; charset=utf-8", "<p>home"],
      ["/sub%20dir/", "text/html; charset=utf-8", "<p>sub"],
      ["/a.txt?x=/../..", "text/plain; charset=utf-8", "0123456789"],
      ["/empty.css", "text/css; charset=utf-8", ""],
      ["/.well-known/x", "application/octet-stream", "known"],
      ["/in.txt", "text/plain; charset=utf-8", "0123456789"],
    ] as const
  ) {
    const response = await get(path);
    assert.deepEqual(
      [response.status, response.headers.get("content-type"), await response.text()],
      [200, type, body],
      path,
    );
    assert.equal(response.headers.get("content-length"), `${body.length}`);
  }
});

Deno.test("staticHandler() never leaves its folder", async () => {
  await using folder = await site();
  const { get } = folder;
  const paths = [
    "/../secret.txt",
    "/..%2fsecret.txt",
    "/%2e%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%5csecret.txt",
    "/sub%20dir/..%2f..%2fsecret.txt",
    "/%252e%252e/secret.txt",
    "/a.txt%00.html",
    "/out.txt",
    "/up/secret.txt",
    "/up/root-sibling/secret.txt",
    "/..%2froot-sibling/secret.txt",
    "//etc/passwd",
    "/%2fetc/passwd",
    "/.env",
    "/%2eenv",
    "/%ff",
    "/%",
    "/loop",
    "/linked/",
    "/linked/index.html",
    "/a.txt/",
    "/a.txt/b",
    "/nothing",
    "/.well-known/",
    `/${"x".repeat(5_000)}`,
  ];
  for (const path of paths) {
    const response = await get(path);
    assert.equal(response.status, 404, path);
    assert.doesNotMatch(await response.text(), /secret|root:/);
  }
});

Deno.test("staticHandler() never leaves its folder, whatever stands in a request line", async () => {
  await using folder = await site();
  const handler = staticHandler(folder.folder);
  for (
    const target of [
      ...["/../secret.txt", "/sub%20dir/../../secret.txt", "/./../secret.txt", "/..\\secret.txt", "/..%5Csecret.txt"],
      ...["/%2e%2e/secret.txt", "/%2E%2E%2fsecret.txt", "/.%2e/secret.txt", "/%252e%252e%252fsecret.txt"],
      ...[
        "http://a.example/../secret.txt",
        "/up/secret.txt",
        "/up/../secret.txt",
        "/;/../secret.txt",
        "/..;/secret.txt",
      ],
      ...["/a.txt%00/../../secret.txt", "/%c0%ae%c0%ae/secret.txt", "/%u002e%u002e/secret.txt"],
    ]
  ) {
    const [near, far] = memoryPair();
    const serving = serveFetch(far, handler);
    await near.write(
      new TextEncoder().encode(`GET ${target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n`),
    );
    await near.closeWrite();
    let answer = "";
    for (let bytes = await near.read(); bytes !== null; bytes = await near.read()) {
      answer += new TextDecoder().decode(bytes);
    }
    assert.match(answer, /^HTTP\/1\.1 40[04] /, target);
    assert.doesNotMatch(answer, /\r\n\r\nsecret/, target);
    near.close();
    await serving;
  }
});

Deno.test("staticHandler() opens no pipes", async () => {
  if (Deno.build.os === "windows") return;
  await using all = await site();
  await new Deno.Command("mkfifo", { args: [join(all.folder, "pipe")] }).output();
  assert.equal((await all.get("/pipe")).status, 404);
});

Deno.test("staticHandler() knows the types of what web sites are made of", async () => {
  await using all = await site();
  for (
    const [name, type] of [
      ["a.mjs", "text/javascript; charset=utf-8"],
      ["a.wasm", "application/wasm"],
      ["a.webp", "image/webp"],
      ["a.avif", "image/avif"],
      ["a.woff2", "font/woff2"],
      ["a.svg", "image/svg+xml"],
      ["a.json", "application/json"],
      ["a.xml", "application/xml"],
      ["a.pdf", "application/pdf"],
      ["a.mp4", "video/mp4"],
      ["a.webm", "video/webm"],
      ["A.PNG", "image/png"],
      ["archive.tar.gz", "application/gzip"],
      ["html", "application/octet-stream"],
      ["a.unknown", "application/octet-stream"],
    ] as const
  ) {
    await Deno.writeTextFile(join(all.folder, name), "");
    const response = await all.get(`/${name}`);
    assert.deepEqual([response.headers.get("content-type"), response.headers.get("x-content-type-options")], [
      type,
      "nosniff",
    ], name);
  }
});

Deno.test("staticHandler() redirects a folder to its slash, never to another host", async () => {
  await using folder = await site();
  const { get } = folder;
  const response = await get("/sub%20dir?a=b");
  assert.deepEqual([response.status, response.headers.get("location")], [301, "sub%20dir/?a=b"]);
  assert.equal((await get("//sub%20dir")).status, 404);
});

Deno.test("staticHandler() answers HEAD without a body and refuses other methods", async () => {
  await using folder = await site();
  const { get } = folder;
  const head = await get("/big.bin", { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("content-length"), head.body], [200, "200000", null]);
  const post = await get("/a.txt", { method: "POST" });
  assert.deepEqual([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
});

Deno.test("staticHandler() streams a large file, and closes it when nobody wants the rest", async () => {
  await using folder = await site();
  const { get } = folder;
  const bytes = await (await get("/big.bin")).bytes();
  assert.deepEqual(bytes, new Uint8Array(200_000).fill(7));
  const abandoned = await get("/big.bin");
  const reader = abandoned.body?.getReader();
  await reader?.read();
  await reader?.cancel();
});

Deno.test("staticHandler() fails a body whose file becomes shorter", async () => {
  await using all = await site();
  const response = await all.get("/big.bin");
  await Deno.truncate(join(all.folder, "big.bin"), 100_000);
  await assert.rejects(response.bytes(), RangeError);
});

Deno.test("staticHandler() sends a file to its end as it was, also when another takes its name meanwhile", async () => {
  await using all = await site();
  const response = await all.get("/big.bin");
  await Deno.writeFile(join(all.folder, "next.bin"), new Uint8Array(200_000).fill(8));
  await Deno.rename(join(all.folder, "next.bin"), join(all.folder, "big.bin"));
  assert.deepEqual(await response.bytes(), new Uint8Array(200_000).fill(7));
  assert.equal((await (await all.get("/big.bin")).bytes())[0], 8);
});

Deno.test("staticHandler() serves ranges of files larger than 4 GiB", async () => {
  await using all = await site();
  const path = join(all.folder, "huge.bin");
  const size = 5 * 1024 ** 3;
  {
    using file = await Deno.create(path);
    await file.seek(size - 3, Deno.SeekMode.Start);
    await file.write(new TextEncoder().encode("end"));
  }
  const response = await all.get("/huge.bin", { headers: { range: `bytes=${size - 5}-` } });
  assert.deepEqual([response.headers.get("content-range"), await response.text()], [
    `bytes ${size - 5}-${size - 1}/${size}`,
    "\0\0end",
  ]);
  const head = await all.get("/huge.bin", { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), `${size}`);
});

Deno.test("staticHandler() serves single ranges", async () => {
  await using folder = await site();
  const { get } = folder;
  for (
    const [range, status, body, contentRange] of [
      ["bytes=0-3", 206, "0123", "bytes 0-3/10"],
      ["Bytes=4-", 206, "456789", "bytes 4-9/10"],
      ["bytes=-3", 206, "789", "bytes 7-9/10"],
      ["bytes=-30", 206, "0123456789", "bytes 0-9/10"],
      ["bytes=8-30", 206, "89", "bytes 8-9/10"],
      ["bytes=10-", 416, "416 Range Not Satisfiable\n", "bytes */10"],
      ["bytes=-0", 416, "416 Range Not Satisfiable\n", "bytes */10"],
      ["bytes=5-4", 200, "0123456789", null],
      ["bytes=0-1,3-4", 200, "0123456789", null],
      ["lines=0-1", 200, "0123456789", null],
    ] as const
  ) {
    const response = await get("/a.txt", { headers: { range } });
    const { headers } = response;
    assert.deepEqual([response.status, await response.text(), headers.get("content-range")], [
      status,
      body,
      contentRange,
    ], range);
  }
  assert.equal((await (await get("/big.bin", { headers: { range: "bytes=1-150000" } })).bytes()).length, 150_000);
});

Deno.test("staticHandler() honours conditions", async () => {
  await using folder = await site();
  const { get } = folder;
  const { headers } = await get("/a.txt", { method: "HEAD" });
  const etag = headers.get("etag") ?? "";
  const modified = headers.get("last-modified") ?? "";
  const earlier = new Date(Date.parse(modified) - 60_000).toUTCString();
  for (
    const [name, value, status] of [
      ["if-none-match", etag, 304],
      ["if-none-match", `"x", W/${etag}`, 304],
      ["if-none-match", "*", 304],
      ["if-none-match", '"x"', 200],
      ["if-modified-since", modified, 304],
      ["if-modified-since", earlier, 200],
      ["if-modified-since", "nonsense", 200],
      ["if-modified-since", "99999", 200],
      ["if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", 200],
      ["if-modified-since", "Saturday, 06-Nov-49 08:49:37 GMT", 304],
      ["if-modified-since", "Sun Nov  6 08:49:37 1994", 200],
      ["if-modified-since", "Thu Nov  6 08:49:37 2098", 304],
      ["if-match", etag, 200],
      ["if-match", '"x"', 412],
      ["if-unmodified-since", earlier, 412],
      ["if-unmodified-since", modified, 200],
    ] as const
  ) {
    const response = await get("/a.txt", { headers: { [name]: value } });
    await response.text();
    assert.equal(response.status, status, `${name}: ${value}`);
  }
  const range = "bytes=0-1";
  assert.equal((await get("/a.txt", { headers: { range, "if-range": etag } })).status, 206);
  assert.equal((await get("/a.txt", { headers: { range, "if-range": '"x"' } })).status, 200);
  assert.equal((await get("/a.txt", { headers: { range, "if-range": earlier } })).status, 200);
});

Deno.test("staticHandler() says by code that its folder is gone", async () => {
  const all = await site();
  await all[Symbol.asyncDispose]();
  await assert.rejects(all.get("/"), (error) => error instanceof CodedError && error.kind === "WEBROOT_UNREADABLE");
});
