/** Whether the file is written as JSON (by its extension); everything else is YAML. */
export function isJsonPath(path: string): boolean {
  return path.toLowerCase().endsWith(".json");
}
