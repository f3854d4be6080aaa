import type { TriggerRule } from "../ir/ir.ts";

/** Where a task instance stands; the words are Airflow's. */
export type InstanceState =
  | "none"
  | "running"
  | "success"
  | "failed"
  | "skipped"
  | "upstream_failed"
  | "up_for_retry"
  | "up_for_reschedule"
  | "deferred"
  | "removed";

export const finishedStates: ReadonlySet<InstanceState> = new Set(["success", "failed", "skipped", "upstream_failed", "removed"]);

/** How the instances before a task stand. */
export interface UpstreamCounts {
  /** All of them, finished or not. */
  readonly total: number;
  readonly success: number;
  readonly skipped: number;
  readonly failed: number;
  readonly upstreamFailed: number;
  readonly removed: number;
  /** The setups among them. */
  readonly setups: number;
  readonly setupsSucceeded: number;
  readonly setupsSkipped: number;
}

/** A rule as a teardown has it. */
export type AnyRule = TriggerRule | "all_done_setup_success";

/** What a trigger rule makes of what came before: wait, run, or end without running. */
export type Verdict = "wait" | "run" | "skipped" | "upstream_failed";

/** Airflow's trigger rules, as its TriggerRuleDep evaluates them (Airflow 3.3, `ti_deps/deps/trigger_rule_dep.py`). */
export function decide(rule: AnyRule, counts: UpstreamCounts): Verdict {
  const { total, success, skipped, failed, upstreamFailed, removed } = counts;
  const done = success + skipped + failed + upstreamFailed + removed;
  const allDone = done >= total;
  const bad = failed + upstreamFailed;
  const when = (condition: boolean): Verdict => (condition ? "run" : "wait");
  switch (rule) {
    case "always":
      return "run";
    case "all_success":
      if (bad > 0) return "upstream_failed";
      return skipped > 0 ? "skipped" : when(total - success - removed <= 0);
    case "all_failed":
      return success + skipped > 0 ? "skipped" : when(total - bad - removed <= 0);
    case "all_done":
      return when(allDone);
    case "all_skipped":
      return success + bad > 0 ? "skipped" : when(total - skipped <= 0);
    case "one_success":
      if (allDone && done === skipped) return "skipped";
      return allDone && success === 0 ? "upstream_failed" : when(success > 0);
    case "one_failed":
      return allDone && bad === 0 ? "skipped" : when(bad > 0);
    case "one_done":
      return allDone && success + failed === 0 ? "skipped" : when(success + failed > 0);
    case "none_failed":
      return bad > 0 ? "upstream_failed" : when(total - success - skipped - removed <= 0);
    case "none_failed_min_one_success":
      if (bad > 0) return "upstream_failed";
      if (skipped === total) return "skipped";
      if (allDone && success === 0) return "upstream_failed";
      return when(total - success - skipped - removed <= 0 && success > 0);
    case "none_skipped":
      return skipped > 0 ? "skipped" : when(allDone);
    case "all_done_min_one_success":
      if (skipped > 0) return "skipped";
      return allDone && success === 0 ? "upstream_failed" : when(allDone && success > 0);
    case "all_done_setup_success":
      if (allDone && counts.setups > 0 && counts.setupsSkipped >= counts.setups) return "skipped";
      if (allDone && counts.setups > 0 && counts.setupsSucceeded === 0) return "upstream_failed";
      return when(allDone && (counts.setups === 0 || counts.setupsSucceeded > 0));
  }
}
