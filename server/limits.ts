/** Every bound of the server with its reason (design: who may hold what, and for how long). All configurable. */
export interface ServerLimits {
  /** A TLS handshake, from accept to done. */
  tlsHandshakeMs: number;
  /** First byte of a visitor's request. */
  firstByteMs: number;
  /** A complete request head (slowloris). */
  headMs: number;
  /** No byte moved in an HTTP body or write. */
  stallMs: number;
  /** An idle keep-alive connection of a visitor. */
  keepAliveMs: number;
  /** After one direction of a stream ended, the other may be silent for so long. */
  lingerMs: number;
  /** Visitor connections per IPv4 address or IPv6 /64; loopback and trusted proxies are exempt. */
  visitorsPerAddress: number;
  /** Visitor connections in all. */
  visitors: number;
  /** Tunnel connections whose credential was not yet accepted, per address. */
  unauthenticatedPerAddress: number;
  /** The same in all. */
  unauthenticated: number;
  /** Streams at once in a session. */
  streamsPerSession: number;
  /** New streams a second in a session. */
  opensPerSecond: number;
  /** Wait of a stream for a data channel. */
  channelWaitMs: number;
  /** Streams of one session that may wait at once: as many as it may have, so that a burst of visitors waits instead of failing. */
  channelQueue: number;
  /** `ok` or `error` after `open`. */
  openAnswerMs: number;
  /** Client's ping interval on control; the channel is lost after three. Below 500 ms a client cannot keep it. */
  heartbeatMs: number;
  /** With more tunnels online than this, clients ping a third as often. */
  largeFleet: number;
  /** A session without its control channel lives so long. */
  resumeMs: number;
  /** A data channel silent for so long is pinged. */
  channelSilenceMs: number;
  /** ... and closed when nothing came for so long after the ping. */
  channelPongMs: number;
  /** Does the holder of a `serve` session still live? */
  takeoverPingMs: number;
  /** What a one-shot took is freed so long after its session ended. */
  temporaryTunnelMs: number;
}

/** Defaults of {@link ServerLimits}; peers' figures and reasons are in the security notes of `docs/architecture.md`. */
export const DEFAULT_SERVER_LIMITS: Readonly<ServerLimits> = {
  tlsHandshakeMs: 5_000,
  firstByteMs: 10_000,
  headMs: 10_000,
  stallMs: 60_000,
  keepAliveMs: 60_000,
  lingerMs: 300_000,
  visitorsPerAddress: 256,
  visitors: 20_000,
  unauthenticatedPerAddress: 32,
  unauthenticated: 1_024,
  streamsPerSession: 1_024,
  opensPerSecond: 500,
  channelWaitMs: 10_000,
  channelQueue: 1_024,
  openAnswerMs: 15_000,
  heartbeatMs: 5_000,
  largeFleet: 10_000,
  resumeMs: 15_000,
  channelSilenceMs: 25_000,
  channelPongMs: 10_000,
  takeoverPingMs: 2_000,
  temporaryTunnelMs: 300_000,
};
