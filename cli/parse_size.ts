/** Decimal as data volumes are sold and shown, binary for who writes it so. */
const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/**
 * A volume as typed, in bytes: `10MB`, `512 KiB`, `1.5GB`, `1048576`. KB is 1,000 bytes, KiB 1,024.
 * @throws {RangeError} when it is none.
 */
export function parseSize(text: string): number {
  const [, digits = "", unit = ""] = /^([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})$/.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(digits) * (UNIT_BYTES[unit.toUpperCase()] ?? Number.NaN));
  if (digits === "" || !Number.isSafeInteger(bytes)) throw new RangeError(`"${text}" is not a size such as 10MB`);
  return bytes;
}
