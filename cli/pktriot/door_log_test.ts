import { deepEqual } from "node:assert/strict";
import type { DoorState } from "../../client/doors/door.ts";
import { DoorLog } from "./door_log.ts";

Deno.test("DoorLog tells what has changed, once", () => {
  const lines: string[] = [];
  const log = (event: string, fields: Record<string, unknown> = {}) => void lines.push(`${event} ${fields.door}`);
  const doors = new DoorLog({ debug: log, info: log, warn: log, error: log });
  const open = (id: string): DoorState => ({ id, state: "open", address: id });
  const failed: DoorState = { id: "b", state: "failed", address: "b", code: "E6003", message: "in use" };
  doors.tell([open("a"), failed]);
  doors.tell([open("a"), failed, open("c")]);
  doors.tell([open("a"), open("b")]);
  doors.tell([open("a"), open("b"), open("c")]);
  deepEqual(lines, [
    ...["door open a", "door not open b", "door open c", "door open b", "door closed c", "door open c"],
  ]);
});
