/** Reads a TLS structure (RFC 8446 3); @throws {RangeError} when a length points outside, or something is left at the end */
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

  /** A big-endian number of `width` bytes. */
  number(width: number): number {
    let value = 0;
    for (const byte of this.take(width)) value = value * 256 + byte;
    return value;
  }

  /** The bytes behind their length, which has `width` bytes. */
  vector(width: number): Uint8Array {
    return this.take(this.number(width));
  }

  end(): void {
    if (this.left > 0) throw new RangeError("Cannot stop before the end");
  }
}
