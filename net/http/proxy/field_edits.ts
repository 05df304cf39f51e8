import { isHopByHop } from "../hop_by_hop.ts";
import { CodedError } from "../../../protocol/errors.ts";
import { Fields, type KeyedField } from "../../../protocol/http/field.ts";
import type { FieldEdits as FieldEditsOption } from "../../../protocol/http_options.ts";

/** Which message is edited. */
export type EditedKind = "request" | "response";

/** Framing of both kinds: exactly one such field goes on, and we write it. */
const FRAMING: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "trailer"]);

/** What a rule does to the fields of its requests or answers. */
export class FieldEdits {
  readonly #gone: ReadonlySet<string>;
  readonly #added: Fields;

  /** @throws {CodedError} RULE_INVALID for a field that the edge owns */
  constructor(kind: EditedKind, { set = [], remove = [] }: FieldEditsOption) {
    for (const name of [...remove, ...set.map(([each]) => each)]) refuseOwned(kind, name);
    this.#gone = new Set([...remove, ...set.map(([name]) => name)].map(comparable));
    this.#added = new Fields(set.map(([name, value]) => ({ name, value })));
  }

  /** Edits the fields of a message whose hop-by-hop fields are gone already. */
  apply(fields: Fields): void {
    fields.retain(this.keeps);
    fields.appendAll(this.#added);
  }

  /** Whether a field goes on as it came. */
  readonly keeps = ({ key }: KeyedField): boolean => !this.#gone.has(comparable(key));
}

/** CGI-like programs see `_` and `-` as one (security R41): who sets X-Role does not want to be given X_Role. */
function comparable(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

function refuseOwned(kind: EditedKind, name: string): void {
  const key = comparable(name);
  const forwarding = kind === "request" && (key === "forwarded" || key.startsWith("x-forwarded"));
  if (!isHopByHop(key) && !FRAMING.has(key) && !forwarding && !(kind === "request" && key === "host")) return;
  const instead = key === "host" ? "; use hostHeader for it" : "";
  throw new CodedError("RULE_INVALID", `The ${kind} header "${name}" cannot be edited: the edge writes it${instead}`);
}
