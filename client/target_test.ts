import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { describeTarget, type ParsedTarget, parseTarget } from "./target.ts";

const FORMS: readonly (readonly [text: string, target: ParsedTarget, described: string])[] = [
  ["8080", { kind: "tcp", host: "127.0.0.1", port: 8080 }, "127.0.0.1:8080"],
  ["localhost:1", { kind: "tcp", host: "localhost", port: 1 }, "localhost:1"],
  ["[::1]:65535", { kind: "tcp", host: "::1", port: 65_535 }, "[::1]:65535"],
  ["my_db.srv.local:5432", { kind: "tcp", host: "my_db.srv.local", port: 5432 }, "my_db.srv.local:5432"],
  ["tcp://db:5432", { kind: "tcp", host: "db", port: 5432 }, "db:5432"],
  ["http://web", { kind: "tcp", host: "web", port: 80 }, "web:80"],
  ["http://web:8080/", { kind: "tcp", host: "web", port: 8080 }, "web:8080"],
  ["HTTP://web", { kind: "tcp", host: "web", port: 80 }, "web:80"],
  ["https://web", { kind: "https", host: "web", port: 443 }, "https://web:443"],
  ["https://[2001:db8::1]:8443", { kind: "https", host: "2001:db8::1", port: 8443 }, "https://[2001:db8::1]:8443"],
  ["unix:/run/app.sock", { kind: "unix", path: "/run/app.sock" }, "unix:/run/app.sock"],
  ["unix:///run/app.sock", { kind: "unix", path: "/run/app.sock" }, "unix:/run/app.sock"],
  ["/srv/www", { kind: "folder", path: "/srv/www" }, "/srv/www"],
  ["./dist", { kind: "folder", path: "./dist" }, "./dist"],
  ["..", { kind: "folder", path: ".." }, ".."],
  ["~/site", { kind: "folder", path: "~/site" }, "~/site"],
  ["C:\\www", { kind: "folder", path: "C:\\www" }, "C:\\www"],
];

for (const [text, target, described] of FORMS) {
  Deno.test(`parseTarget() reads ${text}`, () => {
    assert.deepEqual(parseTarget(text), target);
    assert.equal(describeTarget(target), described);
    assert.deepEqual(parseTarget(described), target, "what is described can be read again");
  });
}

const WRONG: readonly string[] = [
  ...["", "0", "65536", "99999999999", "host", "host:", ":80", "host:0", "host:65536", "host:8080x", "host: 80"],
  ...["ftp://host", "javascript://host:1", "http://", "http://host/path", "https://host?x", "http://host:80/#a"],
  ...["http://user@host", "unix:", "unix:relative.sock", "unix:/a\0b", "::1:80", "[::1]", "[::1", "a b:80", "-a:80"],
  ...["host:080000", "%2e:80", "host\n:80"],
];

for (const text of WRONG) {
  Deno.test(`parseTarget() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseTarget(text), (error) => error instanceof CodedError && error.kind === "TARGET_INVALID");
  });
}
