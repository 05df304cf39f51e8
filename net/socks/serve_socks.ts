import { CodedError, type ErrorName } from "../../protocol/errors.ts";
import {
  readSocksCredential,
  readSocksGreeting,
  readSocksRequest,
  SOCKS_METHOD,
  SOCKS_REPLY,
  socksCredentialAnswer,
  socksMethod,
  socksReply,
  socksReplyCode,
} from "../../protocol/socks5.ts";
import type { PushbackDuplex } from "../duplex.ts";
import { negotiate, type ProxyOptions, type ProxyRequest, refuseConnection } from "../proxy_request.ts";
import { SocksReader } from "./socks_reader.ts";

/**
 * Takes the request of a SOCKS5 client (RFC 1928, RFC 1929): CONNECT only. When it throws, the client was told what can be told, and
 * the connection has ended.
 * @throws {CodedError} SOCKS_INVALID, SOCKS_UNSUPPORTED, SOCKS_ADDRESS_TYPE, DESTINATION_INVALID, PROXY_UNAUTHORIZED, STREAM_RESET,
 * what `authenticate` throws
 */
export function negotiateSocks<T>(duplex: PushbackDuplex, options: ProxyOptions<T> = {}): Promise<ProxyRequest<T>> {
  const negotiation = new SocksNegotiation(duplex, options);
  return negotiate(duplex, options.deadlineMs, {
    take: () => negotiation.run(),
    refusal: ({ kind }) => kind === "SOCKS_INVALID" || kind === "STREAM_RESET" ? null : negotiation.refusal(kind),
  });
}

class SocksNegotiation<T> {
  readonly #duplex: PushbackDuplex;
  readonly #options: ProxyOptions<T>;
  readonly #reader: SocksReader;
  /** What is being dealt with, and so what a refusal looks like. */
  #stage: "greeting" | "credential" | "request" = "greeting";

  constructor(duplex: PushbackDuplex, options: ProxyOptions<T>) {
    this.#duplex = duplex;
    this.#options = options;
    this.#reader = new SocksReader(duplex);
  }

  async run(): Promise<ProxyRequest<T>> {
    const duplex = this.#duplex;
    const identity = await this.#identify();
    this.#stage = "request";
    const destination = await this.#reader.read(readSocksRequest);
    duplex.unread(this.#reader.rest());
    return {
      ...{ destination, identity },
      succeed: () => duplex.write(socksReply(SOCKS_REPLY.succeeded)),
      fail: (error) => refuseConnection(duplex, socksReply(socksReplyCode(error.kind))),
    };
  }

  refusal(kind: ErrorName): Uint8Array {
    switch (this.#stage) {
      case "greeting":
        return socksMethod(SOCKS_METHOD.unacceptable);
      case "credential":
        return socksCredentialAnswer(false);
      case "request":
        return socksReply(socksReplyCode(kind));
    }
  }

  async #identify(): Promise<T | undefined> {
    const { authenticate, anonymous } = this.#options;
    const offered = await this.#reader.read(readSocksGreeting);
    // Who can say who it is, is asked.
    if (authenticate !== undefined && offered.includes(SOCKS_METHOD.password)) return await this.#login(authenticate);
    const nobody = authenticate === undefined ? undefined : anonymous?.() ?? null;
    if (nobody === null || !offered.includes(SOCKS_METHOD.none)) {
      const wanted = nobody === null ? "user and password" : "to say nothing of who it is";
      throw new CodedError("PROXY_UNAUTHORIZED", `The SOCKS client does not offer ${wanted}`);
    }
    await this.#duplex.write(socksMethod(SOCKS_METHOD.none));
    return nobody;
  }

  async #login(authenticate: NonNullable<ProxyOptions<T>["authenticate"]>): Promise<T> {
    await this.#duplex.write(socksMethod(SOCKS_METHOD.password));
    this.#stage = "credential";
    const { user, password } = await this.#reader.read(readSocksCredential);
    const identity = await authenticate(user, password);
    if (identity === null) throw new CodedError("PROXY_UNAUTHORIZED", "The SOCKS client's user or password is wrong");
    await this.#duplex.write(socksCredentialAnswer(true));
    return identity;
  }
}
