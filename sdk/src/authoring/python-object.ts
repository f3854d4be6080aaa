import type { PythonObject } from "../ir/ir.ts";
import { type Duration, secondsOf } from "./duration.ts";
import { constant, toExpr } from "./ref.ts";

/** A class of Airflow's or a provider's, by its full path, and the keyword arguments it is made with. */
interface Described {
  readonly classPath: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Runs in Airflow's triggerer and waits without holding a worker slot. */
export interface Trigger extends Described {
  readonly kind: "trigger";
}

/** Tells someone something: Slack, e-mail and the like. */
export interface Notifier extends Described {
  readonly kind: "notifier";
}

/** A trigger by its class: trigger("airflow.providers.standard.triggers.file.FileTrigger", { filepath: "/data/done" }). */
export const trigger = (classPath: string, args: Readonly<Record<string, unknown>> = {}): Trigger => ({ kind: "trigger", classPath, args });

/** A notifier by its class: notifier("airflow.providers.slack.notifications.slack.SlackNotifier", { text: "late" }). */
export const notifier = (classPath: string, args: Readonly<Record<string, unknown>> = {}): Notifier => ({ kind: "notifier", classPath, args });

const dotted = /^([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)\.([A-Za-z_]\w*)$/;

/** The plain form; throws a TypeError for a path that is no class, and for arguments that are not JSON. */
export function pythonObjectOf({ classPath, args }: Described): PythonObject {
  const [, module, className] = dotted.exec(classPath) ?? [];
  if (!module || !className) throw new TypeError(`"${classPath}" is not the path of a Python class: write package.module.ClassName`);
  const entries = Object.entries(args).filter(([, value]) => value !== undefined);
  for (const [key] of entries) if (!/^[A-Za-z_]\w*$/.test(key)) throw new TypeError(`"${key}" is not the name of a Python argument`);
  return { module, className, args: Object.fromEntries(entries.map(([key, value]) => [key, toExpr(value, key)])) };
}

/** A Python timedelta or datetime. */
export interface PythonTime {
  readonly kind: "pythonTime";
}

/** A timedelta, for operators and triggers that want one: timedelta("10m"). */
export const timedelta = (duration: Duration): PythonTime => constant({ kind: "duration", seconds: secondsOf(duration) });

/** A datetime, for operators and triggers that want one; takes ISO 8601 with an offset, and throws a RangeError for other text. */
export function datetime(iso: string): PythonTime {
  if (!/(Z|[+-]\d\d:\d\d)$/.test(iso) || Number.isNaN(Date.parse(iso)))
    throw new RangeError(`"${iso}" is not a moment: write ISO 8601 with an offset, such as "2026-01-31T06:00:00Z"`);
  return constant({ kind: "moment", iso: new Date(iso).toISOString().replace(".000Z", "+00:00").replace("Z", "+00:00") });
}
