// What CVAT 2.73's jobs say, and what is done by that: seen on a real one (stages, states, and who may set them).
import assert from "node:assert/strict";
import type { CvatJob } from "@airloom/dataset-platform/cvat/client.ts";
import { openJobs } from "../cvat/open-jobs.ts";

const job = (id: number, stage: string, state: string, more: Partial<CvatJob> = {}): CvatJob => ({ id, stage, state, type: "annotation", ...more });

describe("the jobs of a CVAT task", () => {
  it("are done once they are completed, as CVAT's own button leaves them: in stage annotation", () => {
    assert.deepEqual(openJobs([job(1, "annotation", "completed")], false), { all: 1, open: 0, lacking: "" });
    assert.deepEqual(openJobs([job(1, "acceptance", "completed")], false), { all: 1, open: 0, lacking: "" });
  });

  it("say what they lack, one by one", () => {
    const jobs = [
      job(1, "annotation", "new"),
      job(2, "annotation", "in progress", { assignee: { username: "anna" } }),
      job(3, "annotation", "rejected"),
      job(4, "annotation", "completed"),
    ];
    const { all, open, lacking } = openJobs(jobs, false);
    assert.deepEqual([all, open], [4, 3]);
    assert.equal(lacking, "job 1: new; job 2 (anna): in progress; job 3: rejected in stage annotation: mend it, and set its state to completed");
  });

  for (const [name, review, first] of [
    ["the conf asks for a review", true, job(1, "acceptance", "completed")],
    ["a job was moved on by hand", false, job(1, "acceptance", "completed")],
  ] as const)
    it(`wait for acceptance where ${name}`, () => {
      const { open, lacking } = openJobs([first, job(2, "annotation", "completed"), job(3, "validation", "in progress"), job(4, "acceptance", "new")], review);
      assert.equal(open, 3);
      assert.match(lacking, /^job 2: completed, but in stage annotation, and a review is asked for: set its stage to acceptance, and then its state/);
      assert.match(lacking, /job 3: in progress in stage validation; job 4: new in stage acceptance$/);
    });

  it("are those that are pulled: no ground truth, no copies for a consensus", () => {
    const others = [job(8, "annotation", "new", { type: "ground_truth" }), job(9, "annotation", "new", { type: "consensus_replica" })];
    assert.equal(openJobs([job(1, "annotation", "completed"), ...others], false).open, 0);
    assert.deepEqual(openJobs(others, false), { all: 0, open: 0, lacking: "" });
  });

  it("are told up to ten", () => {
    const { lacking } = openJobs(
      Array.from({ length: 12 }, (_, i) => job(i, "annotation", "new")),
      false,
    );
    assert.match(lacking, /job 9: new; and 2 more$/);
  });
});
