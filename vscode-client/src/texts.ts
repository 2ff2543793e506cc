// Lists of texts that came from outside.

/** The texts in a value that should be a list of them; a single text stands for a list of one. */
export function texts(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((item): item is string => typeof item === "string" && item.trim() !== "");
}
