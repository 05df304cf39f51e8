import { CodedError } from "../errors.ts";
import { type BodyDecoder, CUT } from "./body_decoder.ts";
import { ChunkedDecoder } from "./chunked_decoder.ts";
import type { Framing } from "./framing.ts";
import type { HeadKind } from "./head.ts";

/** A decoder for one body. */
export function bodyDecoder(framing: Framing, kind: HeadKind): BodyDecoder {
  switch (framing.kind) {
    case "none":
      return new LengthDecoder(0, kind);
    case "length":
      return new LengthDecoder(framing.length, kind);
    case "chunked":
      return new ChunkedDecoder(kind);
    case "close":
      return new CloseDecoder();
    default:
      return framing satisfies never;
  }
}

class LengthDecoder implements BodyDecoder {
  pieces: readonly Uint8Array[] = [];
  readonly trailers: undefined = undefined;
  #left: number;
  readonly #kind: HeadKind;

  constructor(length: number, kind: HeadKind) {
    this.#left = length;
    this.#kind = kind;
  }

  get done(): boolean {
    return this.#left === 0;
  }

  feed(bytes: Uint8Array): number {
    const used = Math.min(this.#left, bytes.length);
    this.#left -= used;
    this.pieces = used === 0 ? [] : [used === bytes.length ? bytes : bytes.subarray(0, used)];
    return used;
  }

  end(): void {
    if (!this.done) throw new CodedError(CUT[this.#kind], `The body ended ${this.#left} bytes early`);
  }
}

class CloseDecoder implements BodyDecoder {
  pieces: readonly Uint8Array[] = [];
  done: boolean = false;
  readonly trailers: undefined = undefined;

  feed(bytes: Uint8Array): number {
    this.pieces = [bytes];
    return bytes.length;
  }

  end(): void {
    this.done = true;
    this.pieces = [];
  }
}
