import { Deadline } from "../net/deadline.ts";
import { CodedError, errorFromWire } from "../protocol/errors.ts";
import { MAX_OPEN_REQUESTS } from "../protocol/limits.ts";
import type { ControlMessage, ControlMessageOf } from "../protocol/message.ts";
import { type RequestMethod, type RequestParams, type RequestResult, REQUESTS } from "../protocol/request.ts";

/** A server answers within this time. */
const ANSWER_TIMEOUT_MS = 15_000;

/** Requests that wait for their response. */
export class PendingRequests {
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 1;

  /** @throws {CodedError} the server's refusal, REQUEST_FAILED when no answer comes */
  async ask<M extends RequestMethod>(
    method: M,
    params: RequestParams<M>,
    send: (message: ControlMessage) => Promise<void>,
  ): Promise<RequestResult<M>> {
    if (this.#waiting.size >= MAX_OPEN_REQUESTS) {
      throw new CodedError("LIMIT_EXCEEDED", "Too many requests wait already");
    }
    const id = this.#nextId++;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    using _deadline = new Deadline(ANSWER_TIMEOUT_MS, () => {
      answer.reject(new CodedError("REQUEST_FAILED", `The server did not answer ${method} in 15 s`));
    });
    try {
      const [result] = await Promise.all([answer.promise, send({ kind: "request", id, method, params })]);
      return REQUESTS[method].result.parse(result) as RequestResult<M>;
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** Takes a response; one that nobody waits for any more is dropped. */
  answer({ id, result, error }: ControlMessageOf<"response">): void {
    const waiting = this.#waiting.get(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(errorFromWire(error.code, error.message));
  }

  /** The client has ended: nobody will answer. */
  fail(error: CodedError): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
  }
}
