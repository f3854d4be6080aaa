from airflow_any import DAG, DEFAULTS, START, task

with DAG("schedule_continuous", schedule="@continuous", start_date=START, catchup=False, max_active_runs=1, default_args=DEFAULTS):

    @task
    def poll():
        return 1

    poll()
