import { deepEqual, equal, match } from "node:assert/strict";
import type { DoorState } from "../../client/doors/door.ts";
import type { CommandContext } from "../command_context.ts";
import { memoryIo } from "../testing/memory_io.ts";
import { IDENTITY, pktriotConfig } from "../testing/pktriot_config.ts";
import { DoorStatus, readDoorStates } from "./door_status.ts";

const CONTEXT = { io: memoryIo(), global: {} } as CommandContext;
const CONFIG = {
  ...IDENTITY,
  ports: [
    { port: 23_306, destination: "mariadb", destinationPort: 22_123 },
    { port: 23_307, destination: "new", destinationPort: 1 },
  ],
  proxies: { socks: { port: 31_080 } },
};
const STATES: DoorState[] = [
  { id: "map/127.0.0.1:23306", state: "failed", address: "127.0.0.1:23306", code: "E6003", message: "It is in use" },
  { id: "socks/127.0.0.1:31080", state: "open", address: "127.0.0.1:31080" },
];

Deno.test({
  name: "ports ls, proxies ls and info tell what became of the doors while a start runs, and nothing after it",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using file = await pktriotConfig("config.json", CONFIG);
    const place = `${file.path}.doors`;
    {
      await using status = new DoorStatus(CONTEXT, file.path);
      status.tell([]);
      status.tell(STATES.slice(1));
      status.tell(STATES);
      for (let look = 0; (await readDoorStates(CONTEXT, file.path))?.size !== 2; look++) {
        equal(look < 2_000, true, "it was never told");
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      equal((await Deno.stat(place)).mode! & 0o777, 0o600);
      const ports = (await file.run(["ports", "ls"])).out.join("\n");
      match(ports, /\| Local Port .*\| State +\|/);
      match(
        ports,
        /\| 23306 .*\| not open +\|[^]*\| 23307 .*\| -- +\|[^]*\nNot open: map\/127\.0\.0\.1:23306: It is in use \(E6003\)$/,
      );
      match((await file.run(["proxies", "ls"])).out.join("\n"), /\| none +\| open +\|/);
      const shown = (await file.run(["info", "--offline"])).out.join("\n");
      match(shown, /\| not open[^]*\| open[^]*\nNot open: map\/127\.0\.0\.1:23306: /);
      for (const command of [["ports", "ls", "--json"], ["info", "--offline", "--json"]]) {
        const value = JSON.parse((await file.run(command)).out.join(""));
        const [first, second] = Array.isArray(value) ? value : value.ports;
        deepEqual([first.state, first.code, first.message, second.state], [
          "failed",
          "E6003",
          "It is in use",
          undefined,
        ]);
      }
      equal(JSON.parse((await file.run(["proxies", "ls", "--json"])).out.join("")).socks.state, "open");
      // What a process left that was killed is of the past.
      await Deno.copyFile(place, `${place}.left`);
    }
    await rejectsMissing(place);
    await Deno.rename(`${place}.left`, place);
    equal(await readDoorStates(CONTEXT, file.path), undefined);
    equal((await file.run(["ports", "ls"])).out.join("").includes("State"), false);
  },
});

Deno.test({
  name: "a start that has been replaced leaves the states of its successor",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using file = await pktriotConfig("config.json", CONFIG);
    const first = new DoorStatus(CONTEXT, file.path);
    first.tell(STATES);
    while (await readDoorStates(CONTEXT, file.path) === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await using second = new DoorStatus(CONTEXT, file.path);
    second.tell(STATES.slice(1));
    while ((await readDoorStates(CONTEXT, file.path))?.size !== 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await first[Symbol.asyncDispose]();
    equal((await readDoorStates(CONTEXT, file.path))?.size, 1);
  },
});

async function rejectsMissing(path: string): Promise<void> {
  const found = await Deno.stat(path).then(() => true, () => false);
  equal(found, false);
}
