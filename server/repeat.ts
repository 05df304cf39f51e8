/** Does something every so often, until the stack is disposed. */
export function repeat(stack: AsyncDisposableStack, ms: number, action: () => void): void {
  const timer = setInterval(action, ms);
  stack.defer(() => clearInterval(timer));
}

/** Once for all calls of one moment: many rules come and go together. */
export function soon(action: () => void): () => void {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    queueMicrotask(() => {
      waits = false;
      action();
    });
  };
}
