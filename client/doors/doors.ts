import { CodedError } from "../../protocol/errors.ts";
import { describeDoor, type Door, doorId, type DoorState, formatDoorAddress } from "./door.ts";
import { DoorListener, type DoorParts } from "./door_listener.ts";

/** A door that cannot be opened is tried again after this time: the program that uses its port may end. */
const RETRY_MS = 10_000;

/** How doors are told of. */
export interface DoorsOptions extends DoorParts {
  /** Told of all of them, when something has changed. */
  readonly onStates: (states: readonly DoorState[]) => void;
  /** @default 10_000 */
  readonly retryMs?: number;
}

/** The doors of a client: those that are wanted, and what became of each. One that cannot be opened hurts no other. */
export class Doors implements AsyncDisposable {
  readonly #options: DoorsOptions;
  /** By what {@link keyOf} says: the address on which they listen. */
  readonly #doors = new Map<string, DoorListener>();
  /** Those that cannot be, whatever happens: several at one address. */
  #refused: readonly DoorState[] = [];
  /** Changes come one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #told = "[]";
  #stopped = false;

  constructor(options: DoorsOptions) {
    this.#options = options;
  }

  /** Whether any is open. */
  get isAnyOpen(): boolean {
    for (const door of this.#doors.values()) if (door.isOpen) return true;
    return false;
  }

  /** What became of each. */
  get states(): readonly DoorState[] {
    return [...[...this.#doors.values()].map(({ state }) => state), ...this.#refused];
  }

  /**
   * Opens these doors and no others. One that was open before stays so with its connections, wherever it leads now; connections through
   * one that is gone are cut. Settles when it is known what became of each; never rejects.
   */
  set(doors: readonly Door[]): Promise<readonly DoorState[]> {
    return this.#next(() => this.#set(doors));
  }

  /** Lets nobody in any more; those who came through go on. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const door of this.#doors.values()) door.stop();
  }

  /** Closes all of them, and cuts whoever came through. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#next(() => this.#close(this.#doors.keys()));
  }

  #next<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(action);
    this.#turn = turn;
    return turn;
  }

  async #set(doors: readonly Door[]): Promise<readonly DoorState[]> {
    if (this.#stopped) return this.states;
    const wanted = new Map<string, Door>();
    this.#refused = doors.flatMap((door) => {
      const key = keyOf(door);
      if (wanted.has(key)) return [twice(door)];
      wanted.set(key, door);
      return [];
    });
    await this.#close([...this.#doors.keys()].filter((key) => !wanted.has(key)));
    await Promise.all([...wanted].map(([key, door]) => {
      const listener = this.#doors.get(key) ?? new DoorListener(door, this.#options);
      this.#doors.set(key, listener);
      return listener.set(door);
    }));
    return this.#tell();
  }

  async #close(keys: Iterable<string>): Promise<void> {
    const closing = [...keys].map((key) => {
      const door = this.#doors.get(key);
      this.#doors.delete(key);
      return door?.[Symbol.asyncDispose]();
    });
    await Promise.all(closing);
  }

  async #retry(): Promise<void> {
    await Promise.all([...this.#doors.values()].filter((door) => door.mayOpenLater).map((door) => door.retry()));
    this.#tell();
  }

  #tell(): readonly DoorState[] {
    const { states } = this;
    clearTimeout(this.#timer);
    // What was opened meanwhile is closed by whoever stops us, in its turn.
    if (!this.#stopped && [...this.#doors.values()].some((door) => door.mayOpenLater)) {
      this.#timer = setTimeout(() => void this.#next(() => this.#retry()), this.#options.retryMs ?? RETRY_MS);
    }
    const text = JSON.stringify(states);
    if (text === this.#told) return states;
    this.#told = text;
    this.#options.onStates(states);
    return states;
  }
}

/** There is one door at an address, but any number where any port will do. */
function keyOf(door: Door): string {
  const isAnyPort = "port" in door.listen && door.listen.port === 0;
  return isAnyPort ? describeDoor(door) : formatDoorAddress(door.listen);
}

function twice(door: Door): DoorState {
  const { code, message } = new CodedError(
    "DOOR_INVALID",
    `Cannot open the ${describeDoor(door)}: another door has the same address`,
  );
  return { id: doorId(door), state: "failed", address: formatDoorAddress(door.listen), code, message };
}
