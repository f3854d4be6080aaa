import { existsSync } from "node:fs";
import path from "node:path";

/** The nearest file of this name in a folder or above it. */
export function findUp(name: string, folder: string): string | undefined {
  const file = path.join(folder, name);
  if (existsSync(file)) return file;
  const parent = path.dirname(folder);
  return parent === folder ? undefined : findUp(name, parent);
}
