import { z } from "zod";
import { isServiceName } from "../../protocol/destination.ts";
import { checked } from "../checked_schema.ts";
import { usageOf } from "./usage_of.ts";

/** Keys of a rule that say how it is reached through the mesh. */
export const serviceSchema = {
  /** Name by which programs at other tunnels reach the target. */
  service: checked(z.string(), checkServiceName).optional(),
  /** Through the mesh alone: neither a public name nor a public port. */
  private: z.boolean().optional(),
};

/** One label of a name (RFC 1035). */
const MAX_LENGTH = 63;

/** @throws {RangeError} */
function checkServiceName(name: string): void {
  if (name.length > MAX_LENGTH) {
    throw new RangeError(`A service name has at most ${MAX_LENGTH} characters, not ${name.length}`);
  }
  if (!isServiceName(name)) {
    throw new RangeError(`"${name}" is not a service name such as redis: one word of letters, digits and hyphens`);
  }
}

/** Checks what was typed behind `--service`. @throws {CommandError} USAGE */
export function assertService(name: string | undefined): void {
  if (name !== undefined) usageOf("--service", () => checkServiceName(name));
}
