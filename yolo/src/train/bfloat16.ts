import { readFile } from "node:fs/promises";

/** Flags of /proc/cpuinfo for instructions that multiply bfloat16. */
const native = ["amx_bf16", "avx512_bf16"];

/**
 * What a person should know of bfloat16 on this machine, or nothing: that it would be slow, or that it would be fast.
 *
 * @param cpuinfo the text of /proc/cpuinfo; where there is none nothing is known
 */
export function bfloat16Advice(chosen: boolean, cpuinfo: string): string | undefined {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(" "));
  if (flags.size === 0) return undefined;
  const fast = native.some((flag) => flags.has(flag));
  if (chosen && !fast) return "precision bf16: this CPU does not multiply bfloat16 itself, and trains faster with fp32";
  if (!chosen && flags.has("amx_bf16"))
    return "this CPU multiplies bfloat16 itself: precision bf16 trains about one and a half times as fast, with less memory";
  return undefined;
}

/** The text of /proc/cpuinfo; empty where a system has none. */
export const cpuinfo = (): Promise<string> => readFile("/proc/cpuinfo", "utf8").catch(() => "");
