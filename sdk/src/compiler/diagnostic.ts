import path from "node:path";
import type { CallSite } from "../authoring/call-site.ts";

/** A mistake in a DAG. Each code is a section of docs/diagnostics.md. */
export interface Diagnostic {
  readonly code: string;
  readonly message: string;
  readonly at: CallSite | undefined;
}

/** `file.ts:line:column  CODE  message`, the file relative to `folder`. */
export function formatDiagnostic({ code, message, at }: Diagnostic, folder: string): string {
  const place = at ? `${path.relative(folder, at.file)}:${at.line}:${at.column}` : "?";
  return `${place}  ${code}  ${message}`;
}
