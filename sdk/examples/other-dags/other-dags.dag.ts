import { dag, task, timedelta } from "airloom";
import { ExternalTaskSensor, TriggerDagRunOperator } from "airloom/operators/standard.ts";

const prepare = task("prepare", {}, async () => ({ version: "abc" }));

export default dag("other_dags", { schedule: null }, () => {
  const prepared = prepare({});
  TriggerDagRunOperator("train", {
    trigger_dag_id: "training_pipeline",
    conf: { version: prepared.version, epochs: 3 },
    wait_for_completion: true,
    poke_interval: 10,
  });
  ExternalTaskSensor("wait_for_labels", {
    external_dag_id: "labeling_pipeline",
    external_task_id: "commit_dataset",
    execution_delta: timedelta("1h"),
    mode: "reschedule",
  });
});
