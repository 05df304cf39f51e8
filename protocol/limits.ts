/** Sizes that a peer feeds, and what we accept. Each may be argued about; none may be absent. */

/**
 * Largest payload of a frame we send on a data channel: the 16-bit length form, so that the header never exceeds 8 bytes; with that header
 * a frame is four full TLS records, and no fifth of a few bytes.
 */
export const MAX_DATA_PAYLOAD_BYTES = 65_528;
/** Largest frame we accept on a data channel: an intermediary may join frames; the bytes are passed on piece by piece all the same. */
export const MAX_RECEIVED_FRAME_BYTES = 1024 * 1024;
/** Largest stream message (`open`, `connect`, `ok`, `error`, `fin`, `rst`): an `open` with its TLS facts stays below 1 KiB. */
export const MAX_STREAM_MESSAGE_BYTES = 16 * 1024;
/** Largest control message: 1,000 rules with firewalls fit. */
export const MAX_CONTROL_MESSAGE_BYTES = 1024 * 1024;
/** Pieces of one fragmented message; a middlebox that re-fragments makes a handful (ws CVE-2026-48779 is the lesson). */
export const MAX_FRAGMENTS = 64;
/** Empty frames in one fragmented binary message (ws PR 2329: empty pieces escaped the limit). */
export const MAX_EMPTY_FRAGMENTS = 64;
/** Ping and pong frames a second from one peer; a heart beats every 5 s. */
export const MAX_CONTROL_FRAMES_PER_S = 20;
/** Largest payload of a close, ping or pong frame (RFC 6455 5.5). */
export const MAX_CONTROL_FRAME_BYTES = 125;
/** Rules of one tunnel. */
export const MAX_RULES = 1_000;
/** Services in one answer: with the longest names they are a third of a control message. */
export const MAX_LISTED_SERVICES = 1_000;
/** Firewall networks of one rule. */
export const MAX_NETWORKS_PER_RULE = 1_000;
/** Requests under way at once on one control channel. */
export const MAX_OPEN_REQUESTS = 64;
/** Sessions with role `use` of one tunnel: each is a command somebody typed. */
export const MAX_USE_SESSIONS = 64;
/** Data channels that one `pool` message may ask for. */
export const MAX_POOL_REQUEST = 32;
/** Data channels of one session. */
export const MAX_CHANNELS_PER_SESSION = 1_024;
/** A ClientHello: what is sniffed before a decision (security R33). */
export const MAX_CLIENT_HELLO_BYTES = 16 * 1024;

/** The WebSocket sub-protocol that both ends must name. */
export const SUBPROTOCOL = "spokes.v1";
/** Server name in TLS when the server is known by its IP address only; the server's own CA signs it. */
export const INTERNAL_SNI = "tunnel.spokes.internal";
/** Where the doors of the tunnel endpoint are. */
export const DOORS = {
  enrol: "/tunnel/v1/enrol",
  child: "/tunnel/v1/child",
  control: "/tunnel/v1/control",
  data: "/tunnel/v1/data",
} as const;
