/** `2026-01-02 03:04 UTC`, of milliseconds since the epoch or of ISO 8601; what is neither stays as it is. */
export function timeText(time: number | string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return `${time}`;
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
