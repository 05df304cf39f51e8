/** `headTimeoutMs` as a key of a YAML file: `head_timeout_ms`. */
export function snakeCase(camelCase: string): string {
  return camelCase.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
