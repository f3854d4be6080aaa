import { patientMs } from "./patience.ts";

const seconds = (quiet: number) => String(Math.round(patientMs(quiet * 1000) / 1000));

/** Airflow's own limits, which a busy machine meets: its defaults, multiplied by the tests' patience. */
export const patientAirflow: Readonly<Record<`AIRFLOW__${string}`, string>> = {
  AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT: seconds(30),
  AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT: seconds(50),
  AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT: seconds(300),
  AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT: seconds(5),
};
