const PARALLEL = 16;

/** Runs a number of actions, a few at a time. */
export async function parallel<T>(count: number, action: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  async function work(): Promise<void> {
    while (next < count) {
      const index = next++;
      results[index] = await action(index);
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return results;
}
