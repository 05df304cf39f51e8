import { join } from "node:path";
import { ACME_DIRECTORIES } from "../../net/acme/acme_directories.ts";
import { isOrderName } from "../../net/acme/certificate_files.ts";
import type { CertificateManager } from "../../net/acme/certificate_manager.ts";
import { Challenges } from "../../net/acme/challenges.ts";
import { type CertificatePair, coverageFault, isCurrent, validityFault } from "../../net/certificate.ts";
import { CertificateTable } from "../../net/certificate_table.ts";
import type { Logger } from "../../net/log.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import { INTERNAL_SNI } from "../../protocol/limits.ts";
import { parseResolver } from "../dns.ts";
import type { ServerAcmeOptions } from "../options.ts";
import { type GivenCertificate, readGivenCertificate } from "./given_certificate.ts";
import { WatchedCertificates, type WatchedCertificatesOptions } from "./watched_certificates.ts";
import { certificateFileAt, findCertificateFiles, type FoundCertificates } from "./certificate_files.ts";
import { certificateOrders } from "./certificate_orders.ts";
import { lookupBy } from "./dns_lookup.ts";
import { EndpointAuthority } from "./endpoint_authority.ts";

/** Where the server's certificates come from. */
export interface ServerCertificatesOptions {
  readonly domain: string;
  /** The tunnel endpoint's own name. */
  readonly hostname: string;
  readonly stateDir?: string | undefined;
  /** The endpoint's certificate, when the operator gave one. */
  readonly given?: GivenCertificate | undefined;
  /** Folder of the operator's own certificates. */
  readonly folder?: string | undefined;
  readonly acme?: ServerAcmeOptions | undefined;
  /** Resolvers, of which the first is asked whether a record of the DNS hook is there. @default the system's */
  readonly resolvers?: readonly string[] | undefined;
  readonly log: Logger;
}

/** The one that wins first. The server's own is good for tunnels only, so everything else is better for a visitor. */
const SOURCES = ["given", "folder", "acme", "own"] as const;
/** How often it is looked whether the own certificate is due, and whether one of the operator's has run out. */
const CHECK_MS = 3_600_000;
/** What complaints call the given one. */
const ENDPOINT_CERTIFICATE = "the certificate of the tunnel endpoint";

/** Files that are followed: what finds them, and what is done with the certificates in them. */
interface Watching extends Pick<WatchedCertificatesOptions, "unfit"> {
  readonly find: () => Promise<FoundCertificates>;
  readonly use: (pairs: readonly CertificatePair[]) => void;
}

/** All certificates that the server ends TLS with: the operator's, those it gets from an authority, and its own. */
export class ServerCertificates implements AsyncDisposable {
  /** What the edges answer an authority's challenges with. */
  readonly challenges = new Challenges();
  /** Called when names may have a certificate that had none, and when one cannot be had. */
  onChange: () => void = () => {};
  readonly #options: ServerCertificatesOptions;
  readonly #table = new CertificateTable(SOURCES);
  readonly #stack = new AsyncDisposableStack();
  /** Those that the authority has issued, by their names. */
  readonly #issued = new Map<string, CertificatePair>();
  /** Why those that were ordered are not there, by their names. */
  readonly #failures = new Map<string, CodedError>();
  #given: CertificatePair | undefined;
  #own: EndpointAuthority | undefined;
  #manager: CertificateManager | undefined;
  #customDomains: readonly string[] = [];
  /** Checks and changes of orders, one after the other. */
  #working: Promise<void> = Promise.resolve();

  /** Ready ones come from {@link ServerCertificates.open}. */
  constructor(options: ServerCertificatesOptions) {
    this.#options = options;
  }

  /**
   * Reads what is there; nothing is ordered before {@link start}.
   * @throws {CodedError} CERTIFICATE_INVALID, STATE_UNAVAILABLE, CONFIG_INVALID
   */
  static async open(options: ServerCertificatesOptions): Promise<ServerCertificates> {
    const certificates = new ServerCertificates(options);
    try {
      await certificates.#open();
      return certificates;
    } catch (error) {
      await certificates[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The pin that invites carry; none with a given certificate and nowhere to keep an authority, as its pin would be another at each start. */
  get pin(): string | undefined {
    return this.#own?.pin;
  }

  /**
   * The certificate for a canonical name; undefined when there is none. From memory, never throws. Clients that pinned our
   * authority ask by the internal name, and get what that has signed, whatever the public name has.
   */
  lookup(name: string): CertificatePair | undefined {
    if (name === INTERNAL_SNI) return this.#own?.pair ?? this.#given;
    return this.#table.lookup(name) ?? (name === this.#options.hostname ? this.#given : undefined);
  }

  /** Whether visitors of the name get a certificate that is valid now. */
  isReady(name: string): boolean {
    const pair = this.#table.lookup(name);
    return pair !== undefined && isCurrent(pair, Date.now());
  }

  /** Whether names such as this one get their certificate here, if any: those of the server's domain, and what there is one for. */
  manages(name: string): boolean {
    return name.endsWith(`.${this.#options.domain}`) || this.lookup(name) !== undefined;
  }

  /** Whether a rule may demand that TLS for the name ends here. @throws {CodedError} CERTIFICATE_MISSING */
  assertServable(name: string): void {
    if (!this.#isToBeHad(name) && this.#table.lookup(name) === undefined) throw missing(name);
  }

  /** Why there is no valid certificate for the name of a rule whose TLS ends here; undefined when there is one, or it is under way. */
  faultOf(name: string): CodedError | undefined {
    if (this.isReady(name)) return undefined;
    const failure = this.#failures.get(name);
    if (failure !== undefined) return failure;
    const pair = this.#table.lookup(name);
    if (pair !== undefined) return validityFault(pair, { what: `the certificate for "${name}"` });
    return this.#isToBeHad(name) ? undefined : missing(name);
  }

  /** Begins to get certificates: to be called when the edges listen, since the authority looks there. */
  async start(): Promise<void> {
    const { acme, stateDir, log } = this.#options;
    if (acme === undefined || stateDir === undefined) return this.#warnOfNames();
    const { CertificateManager } = await import("../../net/acme/certificate_manager.ts");
    const { dnsHook, dnsCheck, directory = ACME_DIRECTORIES.letsencrypt, ...account } = acme;
    this.#manager = this.#stack.use(
      new CertificateManager({
        ...account,
        ...{ directory, log, challenges: this.challenges, folder: join(stateDir, "acme") },
        ...(dnsHook === undefined ? {} : { dnsHook: await this.#dnsHook(dnsHook, dnsCheck) }),
        onCertificate: ({ names, pair }) => this.#onIssued(names, pair),
        onFailure: ({ names, error, retryAt }) => {
          const message = `${error.message}; next try at ${retryAt.toISOString()}`;
          this.#failures.set(names.join(), new CodedError(error.kind, message));
          this.onChange();
        },
      }),
    );
    await this.#order();
    this.#warnOfNames();
  }

  /** What {@link setCustomDomains} was told last. */
  get customDomains(): readonly string[] {
    return this.#customDomains;
  }

  /** The names of all rules whose TLS ends here, instead of those before: each gets a certificate unless it has one. */
  setCustomDomains(names: Iterable<string>): void {
    const sorted = [...new Set(names)].sort();
    if (sorted.join() === this.#customDomains.join()) return;
    this.#customDomains = sorted;
    void this.#order();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
    await this.#working;
  }

  async #open(): Promise<void> {
    const { given, folder, acme, stateDir, hostname, log } = this.#options;
    if (acme !== undefined && stateDir === undefined) {
      throw new CodedError("CONFIG_INVALID", "Cannot get certificates from an authority without a state folder");
    }
    // Also beside a given certificate: clients that were enrolled with its pin ask for nothing else.
    if (given === undefined || stateDir !== undefined) {
      this.#own = await EndpointAuthority.open({ stateDir, hostname, log });
      this.#table.set("own", [this.#own.pair]);
    }
    if (given !== undefined) await this.#openGiven(given);
    if (folder !== undefined) await this.#openFolder(folder);
    const timer = setInterval(() => void this.#check(), CHECK_MS);
    this.#stack.defer(() => clearInterval(timer));
  }

  async #openGiven(given: GivenCertificate): Promise<void> {
    this.#useGiven(await readGivenCertificate(given));
    if (!("certificateFile" in given)) return;
    const { hostname } = this.#options;
    await this.#watch({
      find: async () => ({ files: [await certificateFileAt(given)], unreadable: new Map<string, string>() }),
      use: ([pair]) => pair === undefined ? undefined : this.#useGiven(pair),
      // The endpoint would be left without a certificate.
      unfit: (pair, used) => used.covers(hostname) ? coverageFault(pair, hostname, ENDPOINT_CERTIFICATE) : undefined,
    });
  }

  #useGiven(pair: CertificatePair): void {
    const { hostname, log } = this.#options;
    const what = ENDPOINT_CERTIFICATE;
    // What was read at the start is found once more by the first look.
    const isNews = this.#given?.certificate !== pair.certificate;
    this.#given = pair;
    this.#table.set("given", [pair]);
    const faults = isNews ? [validityFault(pair, { what }), coverageFault(pair, hostname, what)] : [];
    for (const fault of faults) {
      // Without an authority of our own it is served all the same: nothing else can be, and clients say what is wrong.
      if (fault !== undefined) log.error("certificate is bad", { code: fault.code, reason: fault.message });
    }
  }

  #openFolder(path: string): Promise<void> {
    return this.#watch({
      find: () => findCertificateFiles(path),
      use: (pairs) => this.#table.set("folder", pairs),
    });
  }

  async #watch({ find, use, ...options }: Watching): Promise<void> {
    const watched = this.#stack.use(
      new WatchedCertificates(find, {
        ...options,
        log: this.#options.log,
        onChange: (pairs) => {
          use(pairs);
          this.onChange();
          void this.#order();
        },
      }),
    );
    await watched.look();
    watched.watch();
  }

  async #dnsHook(
    path: string,
    check: ServerAcmeOptions["dnsCheck"],
  ): Promise<import("../../net/acme/dns_hook.ts").DnsHook> {
    const { DnsHook } = await import("../../net/acme/dns_hook.ts");
    const { resolvers: [resolver] = [], log } = this.#options;
    if (check === false) return new DnsHook({ path, log, propagation: "skip" });
    const propagation = {
      ...(resolver === undefined ? {} : { lookup: lookupBy(parseResolver(resolver)) }),
      ...(check === undefined ? {} : { nameServers: check.map(parseResolver) }),
    };
    return new DnsHook({ path, log, propagation });
  }

  #check(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#own !== undefined && await this.#own.renew()) this.#table.set("own", [this.#own.pair]);
      await this.#want();
    });
  }

  #order(): Promise<void> {
    return this.#enqueue(() => this.#want());
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#working = this.#working.then(work);
    return this.#working;
  }

  /** Never fails: what there is goes on to serve. */
  async #want(): Promise<void> {
    const manager = this.#manager;
    if (manager === undefined) return;
    const { domain, hostname, acme, log } = this.#options;
    const orders = certificateOrders({
      ...{ domain, hostname, hasDnsHook: acme?.dnsHook !== undefined, customDomains: this.#customDomains },
      isCovered: (name) => this.#isCovered(name, ["given", "folder"]),
    });
    try {
      await manager.want(orders);
    } catch (error) {
      const { code, message } = toCodedError(error);
      log.error("certificates not ordered", { code, reason: message });
    }
    const wanted = new Set(orders.map(({ names }) => names.join()));
    for (const names of this.#issued.keys()) if (!wanted.has(names)) this.#issued.delete(names);
    for (const names of this.#failures.keys()) if (!wanted.has(names)) this.#failures.delete(names);
    this.#table.set("acme", this.#issued.values());
  }

  #onIssued(names: readonly string[], pair: CertificatePair): void {
    this.#issued.set(names.join(), pair);
    this.#failures.delete(names.join());
    this.#table.set("acme", this.#issued.values());
    this.onChange();
  }

  /** Whether an authority would be asked for it. */
  #isToBeHad(name: string): boolean {
    return this.#options.acme !== undefined && isOrderName(name);
  }

  #isCovered(name: string, sources: readonly (typeof SOURCES)[number][]): boolean {
    const now = Date.now();
    const pair = this.#table.lookup(name, { now, sources });
    return pair !== undefined && isCurrent(pair, now);
  }

  #warnOfNames(): void {
    const { domain, acme, log } = this.#options;
    const wildcard = `*.${domain}`;
    if (acme?.dnsHook !== undefined || this.#isCovered(wildcard, ["given", "folder"])) return;
    // Who tries things out on one machine has asked for no certificates.
    const isTrial = acme === undefined && (domain === "localhost" || domain.endsWith(".localhost"));
    log[isTrial ? "debug" : "warn"]("names of tunnels have no certificate", {
      names: wildcard,
      hint: "acme.dns_hook, or a wildcard of your own",
    });
  }
}

function missing(name: string): CodedError {
  return new CodedError("CERTIFICATE_MISSING", `The server has no certificate for "${name}", and gets none`);
}
