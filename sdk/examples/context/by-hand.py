from airflow_any import DAG, DEFAULTS, START, task

with DAG("context", schedule="@daily", start_date=START, catchup=False, default_args=DEFAULTS):

    @task
    def describe(start, *, ti, dag_run):
        return {"id": dag_run.run_id, "from": start, "attempt": ti.try_number}

    describe("{{ data_interval_start }}")
