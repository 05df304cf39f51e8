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

/** Reads a TLS structure; @throws {RangeError} when a length points outside, or something is left at the end */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(length: number): Uint8Array {
    if (length > this.left) throw new RangeError("Cannot read past the end");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  number(width: number): number {
    return this.take(width).reduce((value, byte) => value * 256 + byte, 0);
  }

  vector(width: number): Uint8Array {
    return this.take(this.number(width));
  }

  end(): void {
    if (this.left > 0) throw new RangeError("Cannot stop before the end");
  }
}
