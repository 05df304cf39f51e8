import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import type { Page } from "playwright-core";
import { findProgram } from "../../net/testing/programs.ts";

/** A page of a real browser, and what the browser met. */
export interface TestPage extends AsyncDisposable {
  readonly page: Page;
  /** What came over the wire since it was last asked to forget: a 304 is one, though the page is shown the 200 that was kept. */
  readonly wire: WireRecord;
  /** What is red in the console, uncaught errors, and requests that failed. */
  readonly complaints: readonly string[];
}

/**
 * Starts chromium, for which every name is this machine. No certificate is valid for it but one with the public key of `certificate`
 * (PEM), so that a page that loads proves who ended its TLS.
 */
export async function openBrowser(certificate: string): Promise<TestPage> {
  const { chromium } = await import("playwright-core");
  await using stack = new AsyncDisposableStack();
  const browser = await chromium.launch({
    executablePath: findProgram("chromium")!,
    // Root of a container, as in CI, cannot have one. What is visited is our own.
    chromiumSandbox: false,
    args: ["--host-resolver-rules=MAP * 127.0.0.1", `--ignore-certificate-errors-spki-list=${keyHash(certificate)}`],
  });
  stack.defer(() => browser.close());
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("requestfailed", (request) => {
    const reason = request.failure()?.errorText;
    // A player drops what it does not need after a seek; that is no failure.
    if (request.resourceType() === "media" && reason === "net::ERR_ABORTED") return;
    complaints.push(`${request.url()}: ${reason}`);
  });
  const wire = await WireRecord.of(page);
  const all = stack.move();
  return { page, wire, complaints, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** The answers to the requests of a page. */
export class WireRecord {
  /** By the id of a request, which its redirects share; what was asked and what was answered come in any order. */
  readonly #exchanges = new Map<string, { urls: string[]; statuses: number[] }>();

  static async of(page: Page): Promise<WireRecord> {
    const record = new WireRecord();
    const session = await page.context().newCDPSession(page);
    session.on("Network.requestWillBeSent", ({ requestId, request }) => record.#at(requestId).urls.push(request.url));
    // The response itself is what the page sees, behind the cache.
    session.on(
      "Network.responseReceivedExtraInfo",
      ({ requestId, statusCode }) => record.#at(requestId).statuses.push(statusCode),
    );
    await session.send("Network.enable");
    return record;
  }

  /** The statuses for a URL. */
  statusesOf(url: string): number[] {
    return [...this.#exchanges.values()].flatMap(({ urls, statuses }) => statuses.filter((_, at) => urls[at] === url));
  }

  /** Those for all URLs. */
  get statuses(): number[] {
    return [...this.#exchanges.values()].flatMap(({ statuses }) => statuses);
  }

  forget(): void {
    this.#exchanges.clear();
  }

  #at(id: string): { urls: string[]; statuses: number[] } {
    const exchange = this.#exchanges.get(id) ?? { urls: [], statuses: [] };
    this.#exchanges.set(id, exchange);
    return exchange;
  }
}

function keyHash(certificate: string): string {
  const spki = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(Buffer.from(spki)).digest("base64");
}
