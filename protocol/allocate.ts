/**
 * Bytes kept free in front of what {@link allocate} gives, so that a frame header can be written there and header and payload be
 * one write without a copy. The longest header we send has 8 bytes.
 */
export const HEADROOM_BYTES = 8;

/** Small buffers are cut from slabs: one allocation of the system's for about a hundred heads. */
const SLAB_BYTES = 32 * 1024;
/** A larger buffer gets memory of its own, so that a slab is not given up half empty. */
const MAX_SLAB_USE_BYTES = 4 * 1024;

let slab = new ArrayBuffer(SLAB_BYTES);
let slabAt = 0;

/** A zeroed buffer of its own, with {@link HEADROOM_BYTES} in front that belong to it. */
export function allocate(length: number): Uint8Array<ArrayBuffer> {
  const total = length + HEADROOM_BYTES;
  if (total > MAX_SLAB_USE_BYTES) return new Uint8Array(new ArrayBuffer(total), HEADROOM_BYTES, length);
  if (slabAt + total > SLAB_BYTES) {
    slab = new ArrayBuffer(SLAB_BYTES);
    slabAt = 0;
  }
  const at = slabAt + HEADROOM_BYTES;
  slabAt += total;
  return new Uint8Array(slab, at, length);
}
