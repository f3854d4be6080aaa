/** The object in an option's JSON; throws an Error that names the option. */
export function parseObject(option: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${option} is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${option} must be a JSON object, such as '{"batch_size": 5}'`);
  return value as Record<string, unknown>;
}
