/** The Airflow versions that DAGs can be compiled for, oldest first. */
export const targets = ["2.11", "3.0", "3.1", "3.2", "3.3", "3.4"] as const;
export type Target = (typeof targets)[number];

export const defaultTarget: Target = "3.3";

export const isTarget = (text: string): text is Target => (targets as readonly string[]).includes(text);

/** Whether a target is older than a version. */
export const isBefore = (target: Target, version: Target): boolean => targets.indexOf(target) < targets.indexOf(version);
