import { conform } from "./conform.ts";

const settings = (classpath: string) => ({
  AIRFLOW__SDK__COORDINATORS: JSON.stringify({ airloom: { classpath } }),
  AIRFLOW__SDK__QUEUE_TO_COORDINATOR: JSON.stringify({ "airloom-node": "airloom" }),
});

// scripts/try-airflow-3.4.mjs names an Airflow that has a coordinator of its own.
if (process.env["CONFORMANCE_VENV"]) conform("through its own NodeCoordinator", true, settings("airflow.sdk.coordinators.node.NodeCoordinator"), true);
else conform("with the tasks that can through the coordinator", true, settings("airloom_coordinator.NodeCoordinator"));
