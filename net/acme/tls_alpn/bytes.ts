/** The pieces as one. */
export function concat(...pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** A big-endian number of `width` bytes. */
export function number(value: number, width: number): Uint8Array {
  return Uint8Array.from({ length: width }, (_, index) => Math.floor(value / 2 ** (8 * (width - 1 - index))) & 0xff);
}

/** A TLS vector: the pieces behind their common length, which has `width` bytes (RFC 8446 3.4). */
export function vector(width: number, ...pieces: readonly Uint8Array[]): Uint8Array {
  const body = concat(...pieces);
  return concat(number(body.length, width), body);
}
