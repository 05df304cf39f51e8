import type { TxtAnswer } from "./dns.ts";

/** Most of a record that is repeated in a sentence: enough to recognise a wrong one. */
const SHOWN_CHARACTERS = 80;
const SHOWN_RECORDS = 3;
/** Longest sentence: a field of a control message. */
const MAX_REASON_CHARACTERS = 1_000;

/** Whether one of the answers has a record that is exactly `value`. */
export function proves(answers: readonly TxtAnswer[], value: string): boolean {
  return answers.some((answer) => "records" in answer && answer.records.includes(value));
}

/** Whether no resolver has said anything: then it is not known what the record is. */
export function isUnanswered(answers: readonly TxtAnswer[]): boolean {
  return answers.every((answer) => "failure" in answer);
}

/** Why the answers about the TXT records of `name` prove nothing, as one sentence for whoever sets them. */
export function describeMismatch(name: string, answers: readonly TxtAnswer[]): string {
  const sentences = new Map<string, string[]>();
  for (const answer of answers) {
    const sentence = describeAnswer(name, answer);
    sentences.set(sentence, [...sentences.get(sentence) ?? [], answer.resolver]);
  }
  const [only] = sentences.size === 1 ? sentences.keys() : [];
  const all = only ?? [...sentences].map(([sentence, resolvers]) => `${resolvers.join(", ")}: ${sentence}`).join("; ");
  return all.slice(0, MAX_REASON_CHARACTERS);
}

function describeAnswer(name: string, answer: TxtAnswer): string {
  if ("failure" in answer) return `the DNS could not be asked for the TXT record of ${name}: ${answer.failure}`;
  const { records } = answer;
  if (records.length === 0) return `there is no TXT record at ${name} yet`;
  const shown = records.slice(0, SHOWN_RECORDS).map((record) => JSON.stringify(record.slice(0, SHOWN_CHARACTERS)));
  const more = records.length > SHOWN_RECORDS ? ` and ${records.length - SHOWN_RECORDS} more` : "";
  return `the TXT record at ${name} is ${shown.join(", ")}${more}, and not the value of this tunnel`;
}
