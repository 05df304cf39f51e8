/** The addresses of a canonical host name, in the order in which they should be tried; none when it has none. Rejects when `signal` aborts. */
export type LookUp = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

/** One name that somebody waits for. */
interface Question {
  readonly answer: Promise<readonly string[]>;
  readonly begin: () => void;
  /** Those who wait for it. */
  waiting: number;
  isOpen: boolean;
}

/**
 * Makes a {@link LookUp} of a question that cannot be called off. At most `atOnce` of them are open, whether or not anybody still waits;
 * others have their turn in order, unless their signals abort before. Whoever asks for the same name meanwhile gets the same answer.
 */
export function boundedLookUp(ask: (name: string) => Promise<readonly string[]>, atOnce: number): LookUp {
  /** By their names, oldest first: those that are open, then those that wait for their turn. */
  const questions = new Map<string, Question>();
  let open = 0;

  function beginNext(): void {
    for (const question of questions.values()) {
      if (open >= atOnce) return;
      if (!question.isOpen) question.begin();
    }
  }

  function newQuestion(name: string): Question {
    const { promise: answer, resolve, reject } = Promise.withResolvers<readonly string[]>();
    // Whoever asked may have gone by then.
    answer.catch(() => {});
    const question: Question = {
      answer,
      waiting: 0,
      isOpen: false,
      begin() {
        question.isOpen = true;
        open++;
        ask(name).then(resolve, reject).finally(() => {
          open--;
          questions.delete(name);
          beginNext();
        });
      },
    };
    return question;
  }

  return async (name, signal) => {
    signal.throwIfAborted();
    const question = questions.get(name) ?? newQuestion(name);
    questions.set(name, question);
    question.waiting++;
    beginNext();
    try {
      return await untilAborted(question.answer, signal);
    } finally {
      question.waiting--;
      if (question.waiting === 0 && !question.isOpen) questions.delete(name);
    }
  };
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
