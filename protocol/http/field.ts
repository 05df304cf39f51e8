/** One header or trailer field as it is written: the name keeps its case. */
export interface Field {
  readonly name: string;
  readonly value: string;
}

/** A field with its lower-case name at hand. */
export interface KeyedField extends Field {
  /** `name` in lower case. */
  readonly key: string;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** RFC 9110 5.5: no control characters but HTAB, latin1 only, no white space at the ends. */
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;

/** Whether `text` is an RFC 9110 token: a method or field name. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** Whether `text` can be sent as a field value. */
export function isFieldValue(text: string): boolean {
  return FIELD_VALUE.test(text);
}

/**
 * The fields of one message: an ordered list, names compared without case. There is no object keyed by names a peer chose, so
 * `__proto__` is a name like any other.
 */
export class Fields {
  #entries: KeyedField[];

  /** Fields from a caller, each checked. */
  constructor(fields: Iterable<Field> = []) {
    this.#entries = [];
    for (const { name, value } of fields) this.append(name, value);
  }

  /** Fields that a parser has checked: taken as they are, without a copy. */
  static fromChecked(entries: KeyedField[]): Fields {
    const fields = new Fields();
    fields.#entries = entries;
    return fields;
  }

  /** Number of fields. */
  get size(): number {
    return this.#entries.length;
  }

  /** The first value of a name, or `undefined`. Use {@link getAll} where a second one matters. */
  get(name: string): string | undefined {
    const key = name.toLowerCase();
    for (const entry of this.#entries) if (entry.key === key) return entry.value;
    return undefined;
  }

  /** All values of a name, in order. */
  getAll(name: string): string[] {
    const key = name.toLowerCase();
    const values: string[] = [];
    for (const entry of this.#entries) if (entry.key === key) values.push(entry.value);
    return values;
  }

  /** Whether the name is there. */
  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /**
   * Adds one field at the end.
   * @throws {TypeError} when name or value could not be sent as one field.
   */
  append(name: string, value: string): void {
    this.#entries.push(checked(name, value));
  }

  /** Adds all fields of another list, which has checked them, at the end. */
  appendAll(fields: Fields): void {
    for (const entry of fields.#entries) this.#entries.push(entry);
  }

  /**
   * Makes this the only field of its name, in the place of the first.
   * @throws {TypeError} when name or value could not be sent as one field.
   */
  set(name: string, value: string): void {
    const entry = checked(name, value);
    const at = this.#entries.findIndex((each) => each.key === entry.key);
    if (at < 0) {
      this.#entries.push(entry);
      return;
    }
    this.#entries[at] = entry;
    this.#entries = this.#entries.filter((each, index) => index <= at || each.key !== entry.key);
  }

  /** Removes all fields of a name; says whether there were any. */
  delete(name: string): boolean {
    const key = name.toLowerCase();
    const before = this.#entries.length;
    if (this.has(key)) this.#entries = this.#entries.filter((entry) => entry.key !== key);
    return this.#entries.length < before;
  }

  /** Keeps only the fields which `keep` wants. */
  retain(keep: (field: KeyedField) => boolean): void {
    this.#entries = this.#entries.filter(keep);
  }

  /** A copy that can be changed by itself. */
  clone(): Fields {
    return Fields.fromChecked([...this.#entries]);
  }

  /** The fields in their order. */
  [Symbol.iterator](): IterableIterator<KeyedField> {
    return this.#entries.values();
  }

  /** All lines, each with its CRLF, without the empty line at the end: the one place where fields become text. */
  toText(): string {
    let text = "";
    for (const entry of this.#entries) text += entry.name + ": " + entry.value + "\r\n";
    return text;
  }
}

function checked(name: string, value: string): KeyedField {
  if (!isToken(name)) throw new TypeError(`Cannot use "${name}" as a field name: it is not a token`);
  if (!isFieldValue(value)) {
    throw new TypeError(`Cannot use this value for field "${name}": it has forbidden characters`);
  }
  return { key: name.toLowerCase(), name, value };
}
