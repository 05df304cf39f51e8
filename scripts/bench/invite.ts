import { type Programs, runProgram } from "../programs.ts";

/** Makes an invite for so many tunnels with the command of the server's operator. */
export async function makeInvite({ spokes }: Programs, config: string, uses: number): Promise<string> {
  const args = ["--config", config, "token", "create", "--uses", `${uses}`, "--json"];
  return JSON.parse(await runProgram(spokes, args)).invite;
}
