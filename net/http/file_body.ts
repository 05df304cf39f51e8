import type { ByteRange } from "./conditional.ts";

/** As much as is read at once: a larger buffer does not help. */
const PIECE_BYTES = 64 * 1024;

/**
 * A part of an open file: at once when it is small, else read as it is wanted. It is never longer or shorter than asked for. The file
 * is closed at the end of the part, when it cannot be read, and when nobody wants the rest.
 */
export async function fileBody(
  file: Deno.FsFile,
  range: ByteRange,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
  try {
    if (range.from > 0) await file.seek(range.from, Deno.SeekMode.Start);
    const left = range.to - range.from;
    if (left > PIECE_BYTES) return streamOf(file, left);
    const piece = await readPiece(file, left);
    file.close();
    return piece;
  } catch (error) {
    file.close();
    throw error;
  }
}

function streamOf(file: Deno.FsFile, left: number): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const piece = await readPiece(file, Math.min(left, PIECE_BYTES));
        left -= piece.length;
        controller.enqueue(piece);
      } catch (error) {
        file.close();
        throw error;
      }
      if (left > 0) return;
      file.close();
      controller.close();
    },
    cancel() {
      file.close();
    },
  }, { highWaterMark: 0 });
}

async function readPiece(file: Deno.FsFile, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const piece = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const read = await file.read(piece.subarray(at));
    if (read === null) throw new RangeError("Cannot read the file to the end that it had: it has become shorter");
    at += read;
  }
  return piece;
}
